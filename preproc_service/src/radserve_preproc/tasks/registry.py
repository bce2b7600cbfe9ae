"""One module per kind of profile; ``TASKS`` says which. Nothing here asks for a pipeline's name."""

from __future__ import annotations

from collections.abc import Mapping

from radserve_contract.ct import OrganGradingProfile, SegmentationProfile, SliceLabelsProfile, VolumeLabelsProfile
from radserve_contract.spec import FilmProfile, Profile
from radserve_preproc.tasks import film, organ_grading, segmentation, slice_labels, volume_labels
from radserve_preproc.tasks.task import Task

TASKS: Mapping[type[Profile], Task] = {
    FilmProfile: film.TASK,
    SliceLabelsProfile: slice_labels.TASK,
    VolumeLabelsProfile: volume_labels.TASK,
    OrganGradingProfile: organ_grading.TASK,
    SegmentationProfile: segmentation.TASK,
}


def task_of(profile: Profile) -> Task:
    """The task of a profile, by its kind."""
    return TASKS[type(profile)]
