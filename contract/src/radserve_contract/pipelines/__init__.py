"""The pipelines radserve serves, in the order they are listed to users. To add one, see docs/add-a-pipeline.md."""

from radserve_contract.pipelines import abdominal_trauma, covid_lung, head_ct, hemorrhage, spine
from radserve_contract.spec import PipelineSpec

PIPELINES: tuple[PipelineSpec, ...] = (
    spine.SPEC,
    hemorrhage.SPEC,
    head_ct.SPEC,
    abdominal_trauma.SPEC,
    covid_lung.SPEC,
)


def pipeline(name: str) -> PipelineSpec:
    """The pipeline of that name; KeyError when there is none."""
    return {spec.name: spec for spec in PIPELINES}[name]
