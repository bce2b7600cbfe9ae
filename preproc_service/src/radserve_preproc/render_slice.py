"""CT slices and their labels in, a PNG out: one slice for human eyes, with the headline above it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_contract.ct import SliceLabelsProfile
from radserve_contract.findings import Decision, Findings, LabelFinding
from radserve_preproc.frame import Words, framed
from radserve_preproc.fuse_labels import top_label
from radserve_preproc.image import Grey
from radserve_preproc.overlay_style import NEGATIVE, POSITIVE, SCREEN_PX
from radserve_preproc.prepare.clip import clipped
from radserve_preproc.render_overlay import decision_words
from radserve_preproc.tasks.task import Analysis, Picture, of_kind

BRAIN_CENTER_HU, BRAIN_WIDTH_HU = 40.0, 80.0


def draw_slice(analysis: Analysis, picture: Picture) -> bytes:
    """Draw the slice with the highest score of ``any_label``: pixel by pixel, or with its longer side 1280 pixels.

    Where the header says how, in the brain window, which is not what the network saw; else as the network saw it. The
    words say which.

    Raises
    ------
    ValueError
        The findings have no decision or labels: they are no slice's.
    """
    profile, findings = of_kind(analysis.profile, SliceLabelsProfile), analysis.findings
    labels = {label.name: label for label in findings.labels}
    if findings.decision is None or profile.any_label not in labels:
        raise ValueError(f"the findings of {findings.pipeline} have no decision and labels to draw")
    number = labels[profile.any_label].slice
    grey, shown = _to_grey(analysis.image.pixels[number or 0], profile, analysis.image.rescale)
    words = [
        headline_words(findings.decision),
        *definition_words(findings, profile),
        Words(f"{findings.pipeline}, profile {findings.profile}{_which(number, len(analysis.image.pixels))}   {shown}"),
    ]
    return framed(_sized(grey, full_size=picture.full_size), words, findings)


def headline_words(decision: Decision) -> Words:
    """The decision, large, on its colour."""
    return Words(decision_words(decision), POSITIVE if decision.positive else NEGATIVE, headline=True)


def definition_words(findings: Findings, profile: SliceLabelsProfile) -> list[Words]:
    """The subtype that the headline names, with its score and what it means; nothing on a negative study."""
    if findings.decision is None or not findings.decision.positive:
        return []
    return [Words(_definition(top_label(findings.labels, profile.any_label)))]


def _definition(label: LabelFinding) -> str:
    where = "" if label.slice is None else f" in slice {label.slice}"
    return f"Most probable kind: {label.name} {label.probability:.3f}{where}. {label.definition}".strip()


def _which(number: int | None, slices: int) -> str:
    return "" if number is None else f"   slice {number} of 0 to {slices - 1}, that of the highest score"


def _to_grey(
    values: npt.NDArray[np.generic], profile: SliceLabelsProfile, rescale: tuple[float, float] | None
) -> tuple[Grey, str]:
    """``(rows, columns)`` for human eyes, and in words what it is."""
    if rescale is None:
        return clipped(values, profile.clip), "shown as the network saw it, before resizing"
    slope, intercept = rescale
    hounsfield = values.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    low = BRAIN_CENTER_HU - BRAIN_WIDTH_HU / 2
    grey = clipped((hounsfield - low) * np.float32(255 / BRAIN_WIDTH_HU), (0, 255))
    return grey, (
        f"shown in the brain window ({BRAIN_CENTER_HU:g} / {BRAIN_WIDTH_HU:g} HU); the network saw stored values"
        " {} to {}".format(*profile.clip)
    )


def _sized(grey: Grey, *, full_size: bool) -> Image.Image:
    """The slice in RGB."""
    image = Image.fromarray(grey)
    if full_size:
        return image.convert("RGB")
    scale = SCREEN_PX / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image.resize(size, Image.Resampling.BICUBIC).convert("RGB")
