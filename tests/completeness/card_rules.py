"""A pipeline's spec and the checkout in, a sentence for each figure of the spec that its model card does not print out.

A figure is a few words that stand together: in one row of a table, or in one paragraph.
Case, bold and code style do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from radserve_contract.ct import (
    Label,
    OrganGradingProfile,
    SegmentationProfile,
    SliceLabelsProfile,
    VolumeLabelsProfile,
)
from radserve_contract.spec import FilmProfile, PipelineSpec, Profile, PublishedFigure, Threshold, Tolerance

Figure = tuple[str, ...]
SMALL = 10
"""Sizes below this are written as words, if at all."""


def card_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """The model card: there, for research use only, naming every profile, and with every figure of the spec."""
    path = root / "docs" / "model-cards" / f"{spec.name}.md"
    if not path.is_file():
        yield f"{path}: is missing"
        return
    text = path.read_text("utf-8")
    if "**Research use only.**" not in text:
        yield f"{path}: does not say that it is for research use only"
    unnamed = (profile.name for profile in spec.profiles if not _has_profile(text, profile.name))
    yield from (f"{path}: does not mention profile {name}" for name in unnamed)
    blocks = blocks_of(text)
    for figure in dict.fromkeys(figures_of(spec)):
        if not any(all(_has(block, word) for word in figure) for block in blocks):
            yield f"{path}: does not say in one place: {' '.join(figure)}"
    yield from (f"{path}: {problem}" for problem in _published_problems(text, spec.published))


def blocks_of(text: str) -> list[str]:
    """The rows of a page's tables and its paragraphs, without bold and code style."""
    plain = re.sub(r"\*\*|`", "", text)
    paragraphs = re.split(r"\n\s*\n", plain)
    rows = [line for line in plain.splitlines() if line.startswith("|")]
    return rows + [paragraph for paragraph in paragraphs if not paragraph.startswith("|")]


def figures_of(spec: PipelineSpec) -> Iterator[Figure]:
    """What the card has to print of the spec."""
    for profile in spec.profiles:
        for item in profile.inputs:
            yield from ((str(size),) for size in item.tensor.dims if size >= SMALL)
        yield from FIGURES[type(profile)](profile)
    outputs = [output for profile in spec.profiles for model in profile.models for output in model.outputs]
    logits = any("logit" in word for output in outputs for word in (output.name, *output.axes))
    yield from _limits(spec.tolerance, logits=logits)


def _film(profile: FilmProfile) -> Iterator[Figure]:
    yield ("score", *_threshold(profile.fusion.threshold))
    yield from ((f"{member.weight:.2f} x",) for member in profile.fusion.members)
    detection = profile.detection
    yield ("confidence", _number(detection.confidence))
    yield (_number(detection.fallback_confidence),)
    yield ("IoU", _number(detection.iou))


def _slice_labels(profile: SliceLabelsProfile) -> Iterator[Figure]:
    yield from _labels(profile.labels)
    yield tuple(map(str, profile.clip))


def _volume_labels(profile: VolumeLabelsProfile) -> Iterator[Figure]:
    yield from _labels(profile.labels)
    yield from ((window.name, _number(window.center), _number(window.width)) for window in profile.windows)
    yield (f"{_number(profile.reslice.spacing_mm)} mm",)
    yield (_number(profile.reslice.padding_hu),)


def _organ_grading(profile: OrganGradingProfile) -> Iterator[Figure]:
    for injury in profile.injuries:
        yield (injury.label.name, _number(injury.label.threshold.value))
        yield (injury.label.threshold.comparison.value,)
    for organ in profile.organs:
        yield (organ.name, *(_number(grade.threshold.value) for grade in organ.grades))
    yield ("high", _number(profile.risk.high_above))
    yield ("moderate", _number(profile.risk.moderate_above))


def _segmentation(profile: SegmentationProfile) -> Iterator[Figure]:
    yield (profile.label,)
    yield _threshold(profile.threshold)


FIGURES: Mapping[type[Profile], Callable[..., Iterator[Figure]]] = {
    FilmProfile: _film,
    SliceLabelsProfile: _slice_labels,
    VolumeLabelsProfile: _volume_labels,
    OrganGradingProfile: _organ_grading,
    SegmentationProfile: _segmentation,
}
"""What a card prints of a profile, by its kind."""


def _labels(labels: tuple[Label, ...]) -> Iterator[Figure]:
    return chain.from_iterable(((label.name,), _threshold(label.threshold)) for label in labels)


def _limits(tolerance: Tolerance, *, logits: bool) -> Iterator[Figure]:
    """Limits of the proof; those that are 0 do not apply."""
    limits = {"probability": tolerance.probability, "box": tolerance.box_px, "cam": tolerance.cam}
    if logits:
        limits["logit"] = tolerance.logit
    yield from ((name, _number(limit)) for name, limit in limits.items() if limit)


def _published_problems(text: str, published: tuple[PublishedFigure, ...]) -> Iterator[str]:
    for figure in published:
        if not any(_has(text, f"{figure.value:{style}}") for style in ("g", ".3f", ".4f")):
            yield f"does not give the published {figure.metric}, {figure.value:g}"


def _has_profile(text: str, name: str) -> bool:
    """By its name, or as one of a family: ``plain_128`` where ``plain`` and ``<name>_128`` stand."""
    endings = re.findall(r"<name>(\w+)", text)
    return _has(text, name) or any(name.endswith(end) and _has(text, name.removesuffix(end)) for end in endings)


def _threshold(threshold: Threshold) -> Figure:
    return (f"{threshold.comparison.value} {_number(threshold.value)}",)


def _number(value: float) -> str:
    """As people write it: 0.5, 40, 0.0001."""
    return f"{value:f}".rstrip("0").rstrip(".") if value else "0"


def _has(text: str, words: str) -> bool:
    """Whether ``words`` stand in the text as they are, and not as part of a longer word or of another number."""
    before = r"(?<![\w.\-])" if words[0].isdigit() else r"(?<![\w.])"
    pattern = re.escape(words).replace(r"\ ", r"\s+")
    return re.search(rf"{before}{pattern}(?!\w|=|\.\d)", text, re.IGNORECASE) is not None
