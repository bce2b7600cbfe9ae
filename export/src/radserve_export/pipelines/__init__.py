"""How each pipeline is exported, by name. To add one, see docs/add-a-pipeline.md."""

from radserve_export.exportable import PipelineExport
from radserve_export.pipelines import abdominal_trauma, covid_lung, head_ct, hemorrhage, spine

_MODULES: tuple[PipelineExport, ...] = (spine, hemorrhage, head_ct, abdominal_trauma, covid_lung)
EXPORTS: dict[str, PipelineExport] = {module.SPEC.name: module for module in _MODULES}
