"""An abdominal volume: one request of the study and its mirror images, five heads, and pictures by organ."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt

from radserve_contract.ct import OrganGradingProfile
from radserve_contract.spec import Profile
from radserve_preproc.errors import BadModelOutput, BadRequest
from radserve_preproc.fuse_grades import grade, judge, mean_logits, overall_risk
from radserve_preproc.prepare.area_pool import volume_tensor, with_mirror_images
from radserve_preproc.render_gradcam import render_gradcam
from radserve_preproc.render_summary import render_summary
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.task import Analysis, Networks, Outcome, Outputs, Picture, Task, of_kind

SUMMARY, GRADCAM = "summary", "gradcam"
CAMS = "cams"
"""Under this name ``Outcome.maps`` has the activation maps ``(classes, x, y, z)`` of the study itself, 0..1."""
_OVER = 1e-5
"""How far over 1 rounding may carry a map that was divided by its own maximum."""


async def run(networks: Networks, image: DecodedImage) -> Outcome:
    """Injuries, grades and risk from the mean of the logits of the study and its mirror images.

    Raises
    ------
    RadserveError
        What ``Networks.ask`` raises; BadModelOutput for activation maps outside 0..1.
    """
    profile = of_kind(networks.profile, OrganGradingProfile)
    tensor = profile.model(profile.network).inputs[0]
    items = await networks.prepare(lambda: with_mirror_images(volume_tensor(image.pixels, tensor), profile.flips))
    outputs = await networks.ask(profile.network, {tensor.name: items}, stage="grade")
    return _outcome(profile, outputs)


def _outcome(profile: OrganGradingProfile, outputs: Outputs) -> Outcome:
    names = [*(injury.output for injury in profile.injuries), *(organ.output for organ in profile.organs)]
    logits = mean_logits(outputs, names)
    injuries = tuple(map(partial(judge, logits), profile.injuries))
    organs = tuple(map(partial(grade, logits), profile.organs))
    return Outcome(
        labels=injuries,
        organs=organs,
        risk=overall_risk(injuries, organs, profile.risk),
        maps={CAMS: _activation(outputs, profile.cams)},
    )


def _activation(outputs: Outputs, name: str) -> npt.NDArray[np.float32]:
    """The maps of the study itself: those of its mirror images lie mirrored."""
    maps = outputs[name][0]
    if maps.min() < 0 or maps.max() > 1 + _OVER:
        raise BadModelOutput(f"Triton answered {name} from {maps.min()} to {maps.max()}; maps lie within 0..1")
    return np.asarray(maps, np.float32)


def check(profile: Profile, picture: Picture) -> None:
    """Refuse ``head=`` where no head is drawn, and heads that there are not.

    Raises
    ------
    BadRequest
        Naming the heads.
    """
    heads = of_kind(profile, OrganGradingProfile).heads
    if picture.head is None:
        return
    if picture.overlay != GRADCAM:
        raise BadRequest(f"head= is for overlay={GRADCAM}; leave it out, or ask for that picture", heads=[*heads])
    if picture.head not in heads:
        raise BadRequest(f"no such head; there is: {', '.join(heads)}", heads=[*heads])


def _summary(analysis: Analysis, picture: Picture) -> bytes:
    return render_summary(analysis.findings, full_size=picture.full_size)


def _gradcam(analysis: Analysis, picture: Picture) -> bytes:
    classes = of_kind(analysis.profile, OrganGradingProfile).cam_classes
    cams = dict(zip(classes, analysis.maps[CAMS], strict=True))
    return render_gradcam(analysis.image, analysis.findings, cams, picture.head, full_size=picture.full_size)


TASK = Task(run=run, pictures={SUMMARY: _summary, GRADCAM: _gradcam}, check=check)
