"""How each pipeline is exported, by name. To add one, see docs/add-a-pipeline.md."""

from radserve_export.exportable import PipelineExport
from radserve_export.pipelines import spine

EXPORTS: dict[str, PipelineExport] = {spine.SPEC.name: spine}
