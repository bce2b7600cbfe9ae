"""CT slices, each judged by itself: labels of every slice, and of the study the highest score of each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from radserve_contract.ct import Label, SliceLabelsProfile
from radserve_contract.findings import Notice, SliceScores
from radserve_preproc.fuse_labels import Probabilities, headline, study_labels
from radserve_preproc.notices import NoticeCode, notice
from radserve_preproc.prepare.clip import clip_slices
from radserve_preproc.render_slice import draw_slice
from radserve_preproc.render_slice_plot import draw_plot
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.batches import in_batches
from radserve_preproc.tasks.task import Analysis, Networks, Outcome, Task, of_kind
from radserve_preproc.triton import check_probabilities

BRAIN_HU = (0.0, 80.0)
"""From fluid to fresh blood: values that must survive for the network to see a haemorrhage in the brain."""


@dataclass(frozen=True, slots=True)
class _Batch:
    """``probabilities`` ``(N, labels)`` of some slices; how much of their pixels was cut off at either end."""

    probabilities: Probabilities
    below: float
    above: float


async def run(networks: Networks, image: DecodedImage) -> Outcome:
    """Ask about all slices of ``image`` in full batches; the headline is that of ``any_label``.

    Raises
    ------
    RadserveError
        What ``Networks.ask`` raises; BadModelOutput for probabilities outside 0..1.
    """
    profile = of_kind(networks.profile, SliceLabelsProfile)
    network = profile.model(profile.network)
    ask = partial(_ask, networks, profile, image)
    batches = await in_batches(len(image.pixels), network.max_batch_size, ask)
    with networks.step("fuse"):
        probabilities = np.concatenate([batch.probabilities for batch in batches])
        labels = study_labels(probabilities, profile.labels)
        lost = _lost(batches)
        return Outcome(
            decision=headline(labels, profile.any_label),
            labels=labels,
            slices=_slice_scores(probabilities, profile.labels, image) if len(probabilities) > 1 else None,
            warnings=_clip_notices(*lost, profile.clip, image.rescale),
            changes=("stored values cut off at {} and {}".format(*profile.clip),) if any(lost) else (),
        )


async def _ask(networks: Networks, profile: SliceLabelsProfile, image: DecodedImage, slices: slice) -> _Batch:
    """What the network says about some of the slices."""
    (tensor,) = profile.model(profile.network).inputs
    prepared = await networks.prepare(partial(clip_slices, image.pixels[slices], profile.clip, tensor))
    outputs = await networks.ask(profile.network, {tensor.name: prepared.tensor}, stage="classify")
    probabilities = outputs[profile.output]
    check_probabilities(probabilities, profile.output)
    return _Batch(probabilities, prepared.below, prepared.above)


def _slice_scores(probabilities: Probabilities, labels: Sequence[Label], image: DecodedImage) -> SliceScores:
    columns = {label.name: tuple(map(float, probabilities[:, number])) for number, label in enumerate(labels)}
    return SliceScores(columns, image.sop_instance_uids or ("",) * len(probabilities))


def _lost(batches: Sequence[_Batch]) -> tuple[float, float]:
    """The shares of all pixels that were under and over what survives."""
    slices = sum(len(batch.probabilities) for batch in batches)
    below = sum(batch.below * len(batch.probabilities) for batch in batches) / slices
    return below, sum(batch.above * len(batch.probabilities) for batch in batches) / slices


def _clip_notices(
    below: float, above: float, clip: tuple[int, int], rescale: tuple[float, float] | None
) -> tuple[Notice, ...]:
    """What cutting off did to the image, and what that means in Hounsfield units; nothing when nothing was cut off."""
    if not (below or above):
        return ()
    least, largest = clip
    message = (
        f"{above:.1%} of the stored values are over {largest} and {below:.1%} under {least}; the network saw them as"
        f" {largest} and {least}, as the trained system does. {_meaning(clip, rescale)}"
    )
    return (notice(NoticeCode.STORED_VALUES_CLIPPED, message),)


def _meaning(clip: tuple[int, int], rescale: tuple[float, float] | None) -> str:
    if rescale is None:
        return "Which Hounsfield units that leaves is not known: no one Rescale Slope and Intercept apply to the slices"
    slope, intercept = rescale
    low, high = sorted(value * slope + intercept for value in clip)
    if high <= BRAIN_HU[0]:
        seen = "all tissue is white, and the network saw little more than the outline of the head"
    elif low > BRAIN_HU[0] or high < BRAIN_HU[1]:
        seen = "part of what tells brain from blood is lost"
    else:
        seen = "brain and blood are seen"
    return f"With Rescale Slope {slope:g} and Intercept {intercept:g} that leaves {low:g} to {high:g} HU: {seen}"


def usual_picture(analysis: Analysis) -> str:
    """A series is best seen as scores along it, a slice as it is."""
    return "slice" if analysis.findings.slices is None else "plot"


TASK = Task(run=run, pictures={"slice": draw_slice, "plot": draw_plot}, usual=usual_picture)
