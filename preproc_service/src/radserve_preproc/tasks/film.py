"""A radiograph: classification first, the detector only when it is due, one picture with its boxes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from radserve_contract.findings import Decision, Detections
from radserve_contract.spec import FilmProfile, InputSpec
from radserve_preproc import fuse
from radserve_preproc.render_overlay import draw_boxes_on_film
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.task import Networks, Outcome, Outputs, Task, of_kind
from radserve_preproc.tensorise import letterbox_geometry, tensorise


async def run(networks: Networks, image: DecodedImage) -> Outcome:
    """The fused decision; boxes on positive films, or as ``detect`` asks.

    Raises
    ------
    RadserveError
        What ``Networks.ask`` raises; BadModelOutput for an answer that no network can give.
    """
    profile, detect = of_kind(networks.profile, FilmProfile), networks.detect
    at_once = detect is detect.ALWAYS  # boxes are wanted anyway: one round trip
    first = profile.combined if at_once else profile.classification
    outputs = dict(await _ask(networks, profile, first, image))
    decision = fuse.decide(outputs, profile.fusion)
    if detect.applies_to(decision) and not at_once:
        outputs |= await _ask(networks, profile, profile.detection.model, image)
    with networks.step("fuse"):
        scores = fuse.member_scores(outputs, profile.fusion)
        detections = _detections(networks, profile, decision, outputs, image)
    return Outcome(decision=decision, scores=scores, detections=detections)


async def _ask(networks: Networks, profile: FilmProfile, model: str, image: DecodedImage) -> Outputs:
    wanted = _inputs(profile, model)
    prepared = await networks.prepare(partial(tensorise, image, tuple(wanted.values())))
    tensors = {name: prepared[item.tensor.name] for name, item in wanted.items()}
    return await networks.ask(model, tensors, stage=_stage(profile, model))


def _detections(
    networks: Networks, profile: FilmProfile, decision: Decision, outputs: Outputs, image: DecodedImage
) -> Detections:
    detection, reason = profile.detection, networks.detect.reason(decision)
    if not networks.detect.applies_to(decision):
        return fuse.not_asked(reason)
    rows, columns = image.pixels.shape
    size = profile.input(detection.input).tensor.dims[-1]
    return fuse.detections(
        outputs,
        detection,
        classes=networks.classes(detection.model),
        letterbox=letterbox_geometry(rows, columns, size),
        reason=reason,
    )


def _inputs(profile: FilmProfile, model: str) -> Mapping[str, InputSpec]:
    """For each input of a model, how its pixels are made. The detector on its own calls its input otherwise."""
    if model == profile.detection.model:
        (tensor,) = profile.model(model).inputs
        return {tensor.name: profile.input(profile.detection.input)}
    return {tensor.name: profile.input(tensor.name) for tensor in profile.model(model).inputs}


def _stage(profile: FilmProfile, model: str) -> str:
    """What a call of that model is called in timings."""
    stages = {
        profile.classification: "classify",
        profile.detection.model: "detect",
        profile.combined: "classify_and_detect",
    }
    return stages[model]


TASK = Task(run=run, pictures={"boxes": draw_boxes_on_film})
