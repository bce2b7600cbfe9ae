"""A pipeline's spec and what Triton has loaded of it in, the document that describes it to users out."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from radserve_contract.ct import (
    MARKED,
    NOT_MARKED,
    Label,
    Organ,
    OrganGradingProfile,
    SegmentationProfile,
    SliceLabelsProfile,
    VolumeLabelsProfile,
)
from radserve_contract.spec import FilmProfile, PipelineSpec, Profile, PublishedFigure
from radserve_preproc.answer import Document
from radserve_preproc.catalogue import Loaded, ModelState
from radserve_preproc.tasks.registry import task_of


class TensorDocument(Document):
    """A tensor that goes to Triton, and how its pixels are made."""

    name: str
    dtype: str
    dims: list[int]
    axes: list[str]
    preparation: str


class MemberDocument(Document):
    """A network of the weighted mean."""

    name: str
    model: str
    weight: float


class RuleDocument(Document):
    """How a study is labelled: ``positive`` when the score ``comparison`` ``threshold``."""

    positive: str = Field(examples=["abnormal"])
    negative: str = Field(examples=["normal"])
    comparison: str = Field(examples=[">"])
    threshold: float = Field(examples=[0.449])
    members: list[MemberDocument]


class LabelRuleDocument(Document):
    """Something judged by itself: ``positive`` when its score ``comparison`` ``threshold``."""

    name: str = Field(examples=["subdural"])
    positive: str = Field(examples=["present"])
    negative: str = Field(examples=["absent"])
    comparison: str
    threshold: float
    definition: str


class GradeDocument(Document):
    """A grade of an organ: may be chosen when its probability ``comparison`` ``threshold``; the most probable is."""

    name: str = Field(examples=["Low Injury"])
    severity: str = Field(examples=["low"])
    comparison: str
    threshold: float


class OrganRuleDocument(Document):
    """An organ and its grades, the healthy one first."""

    name: str
    grades: list[GradeDocument]


class DetectorDocument(Document):
    """How boxes are kept. ``labels`` is null while the detector is not loaded."""

    model: str
    confidence: float
    fallback_confidence: float
    iou: float
    max_boxes: int
    labels: list[str] | None


class LoadedModelDocument(Document):
    """A Triton model: what it is, and whether it answers. Ensembles have neither digest nor weights."""

    name: str
    kind: str
    ready: bool
    fault: str | None
    version: str | None
    digest: str | None
    trained: bool | None
    architecture: str | None = Field(description="what the network is, where the checkpoint decides that")


class FigureDocument(Document):
    """A figure that the authors published."""

    metric: str
    value: float
    data: str
    source: str


class ProfileDocument(Document):
    """One way to run the pipeline. ``published`` was measured with exactly this profile."""

    name: str
    summary: str
    default: bool
    loaded: bool | None = Field(description="whether the served repository has it; null when Triton does not answer")
    ready: bool
    trained: bool | None = Field(description="whether all its networks carry trained weights; null when not ready")
    windowing: str | None = Field(description="of radiographs")
    inputs: list[TensorDocument]
    pictures: list[str] = Field(description="values of overlay=, the usual one first")
    decision: RuleDocument | None
    detector: DetectorDocument | None
    labels: list[LabelRuleDocument]
    organs: list[OrganRuleDocument]
    segmentation: LabelRuleDocument | None = Field(description="what is marked, pixel by pixel")
    models: list[LoadedModelDocument]
    published: list[FigureDocument]


class PipelineDocument(Document):
    """A pipeline as it is served now. ``published_otherwise`` was measured in no way that a profile reproduces."""

    name: str
    title: str
    ready: bool = Field(description="whether the default profile is")
    accepts: list[str]
    modalities: list[str]
    default_profile: str
    profiles: list[ProfileDocument]
    published_otherwise: list[FigureDocument]


class PipelinesDocument(Document):
    """All pipelines."""

    pipelines: list[PipelineDocument]


def describe(spec: PipelineSpec, loaded: Mapping[str, Loaded | None]) -> PipelineDocument:
    """The document. ``loaded`` has each profile's name; None where Triton did not answer."""
    profiles = [_profile(spec, profile, loaded[profile.name]) for profile in spec.profiles]
    return PipelineDocument(
        name=spec.name,
        title=spec.title,
        ready=any(profile.ready for profile in profiles if profile.default),
        accepts=[kind.value for kind in spec.accepts],
        modalities=sorted(spec.modalities),
        default_profile=spec.default_profile,
        profiles=profiles,
        published_otherwise=_figures(spec, ""),
    )


def _profile(spec: PipelineSpec, profile: Profile, loaded: Loaded | None) -> ProfileDocument:
    ready = loaded is not None and loaded.present and not loaded.faults
    trained = [identity.trained for identity in loaded.all_identities()] if loaded and ready else None
    return ProfileDocument(
        name=profile.name,
        summary=profile.summary,
        default=profile.name == spec.default_profile,
        loaded=None if loaded is None else loaded.present,
        ready=ready,
        trained=None if trained is None else False not in trained,
        windowing=profile.windowing.value if isinstance(profile, FilmProfile) else None,
        inputs=_inputs(profile),
        pictures=list(task_of(profile).pictures),
        decision=_rule(profile) if isinstance(profile, FilmProfile) else None,
        detector=_detector(profile, loaded) if isinstance(profile, FilmProfile) else None,
        labels=[_label(label) for label in _labels(profile)],
        organs=[_organ(organ) for organ in profile.organs] if isinstance(profile, OrganGradingProfile) else [],
        segmentation=_segmentation(profile) if isinstance(profile, SegmentationProfile) else None,
        models=[_model(model.name, model.kind.value, loaded) for model in profile.models],
        published=_figures(spec, profile.name),
    )


def _inputs(profile: Profile) -> list[TensorDocument]:
    return [
        TensorDocument(
            name=item.tensor.name,
            dtype=item.tensor.dtype.value,
            dims=list(item.tensor.dims),
            axes=list(item.tensor.axes),
            preparation=item.preparation.value,
        )
        for item in profile.inputs
    ]


def _labels(profile: Profile) -> tuple[Label, ...]:
    if isinstance(profile, SliceLabelsProfile | VolumeLabelsProfile):
        return profile.labels
    return tuple(injury.label for injury in profile.injuries) if isinstance(profile, OrganGradingProfile) else ()


def _label(label: Label) -> LabelRuleDocument:
    return LabelRuleDocument(
        name=label.name,
        positive=label.positive,
        negative=label.negative,
        comparison=label.threshold.comparison.value,
        threshold=label.threshold.value,
        definition=label.definition,
    )


def _organ(organ: Organ) -> OrganRuleDocument:
    grades = [
        GradeDocument(
            name=grade.name,
            severity=grade.severity,
            comparison=grade.threshold.comparison.value,
            threshold=grade.threshold.value,
        )
        for grade in organ.grades
    ]
    return OrganRuleDocument(name=organ.name, grades=grades)


def _segmentation(profile: SegmentationProfile) -> LabelRuleDocument:
    return _label(Label(profile.label, profile.threshold, positive=MARKED, negative=NOT_MARKED))


def _rule(profile: FilmProfile) -> RuleDocument:
    fusion = profile.fusion
    return RuleDocument(
        positive=fusion.positive,
        negative=fusion.negative,
        comparison=fusion.threshold.comparison.value,
        threshold=fusion.threshold.value,
        members=[MemberDocument(name=item.output, model=item.model, weight=item.weight) for item in fusion.members],
    )


def _detector(profile: FilmProfile, loaded: Loaded | None) -> DetectorDocument:
    detection = profile.detection
    state = loaded.models[detection.model] if loaded else None
    return DetectorDocument(
        model=detection.model,
        confidence=detection.confidence,
        fallback_confidence=detection.fallback_confidence,
        iou=detection.iou,
        max_boxes=detection.max_boxes,
        labels=list(state.classes) if state and state.identity else None,
    )


def _model(name: str, kind: str, loaded: Loaded | None) -> LoadedModelDocument:
    state = loaded.models[name] if loaded else None
    identity = state.identity if state else None
    return LoadedModelDocument(
        name=name,
        kind=kind,
        ready=state is not None and not state.fault,
        fault=_fault(state),
        version=(state.version or None) if state else None,
        digest=identity.digest if identity else None,
        trained=identity.trained if identity else None,
        architecture=(identity.architecture or None) if identity else None,
    )


def _fault(state: ModelState | None) -> str | None:
    return (state.fault or None) if state else "Triton does not answer"


def _figures(spec: PipelineSpec, profile: str) -> list[FigureDocument]:
    return [_figure(figure) for figure in spec.published if figure.profile == profile]


def _figure(figure: PublishedFigure) -> FigureDocument:
    return FigureDocument(metric=figure.metric, value=figure.value, data=figure.data, source=figure.source)
