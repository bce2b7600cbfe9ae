"""A whole CT volume at once: independent labels of the study, and a picture of the slices that the network saw."""

from __future__ import annotations

from functools import partial

from radserve_contract.ct import VolumeLabelsProfile
from radserve_preproc.fuse_labels import study_labels
from radserve_preproc.prepare.windows import windowed
from radserve_preproc.render_montage import draw_montage
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.task import Networks, Outcome, Task, of_kind
from radserve_preproc.triton import check_probabilities

STACK = "stack"


async def run(networks: Networks, image: DecodedImage) -> Outcome:
    """Ask once, about one item; every label on its own threshold. ``maps["stack"]`` is what the network saw.

    Raises
    ------
    RadserveError
        What ``Networks.ask`` raises; UnfitVolume for a scan that cannot be resliced; BadModelOutput for probabilities
        outside 0..1.
    """
    profile = of_kind(networks.profile, VolumeLabelsProfile)
    (tensor,) = profile.model(profile.network).inputs
    seen = await networks.prepare(partial(windowed, image, profile))
    outputs = await networks.ask(profile.network, {tensor.name: seen.tensor}, stage="classify")
    with networks.step("fuse"):
        probabilities = outputs[profile.output]
        check_probabilities(probabilities, profile.output)
        labels = study_labels(probabilities, profile.labels)
        return Outcome(labels=labels, changes=seen.changes, maps={STACK: seen.tensor[0]})


TASK = Task(run=run, pictures={"montage": draw_montage})
