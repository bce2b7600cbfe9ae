"""What ``GET /v1/pipelines/{name}`` says of a pipeline: everything that its answers are judged by."""

from __future__ import annotations

import pytest

from radserve_contract.ct import OrganGradingProfile, SegmentationProfile, SliceLabelsProfile, VolumeLabelsProfile
from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import FilmProfile, PipelineSpec
from radserve_preproc.description import describe


@pytest.mark.parametrize("spec", PIPELINES, ids=lambda spec: spec.name)
def test_every_threshold_of_a_profile_is_told(spec: PipelineSpec) -> None:
    names = [profile.name for profile in spec.profiles]
    for profile, said in zip(spec.profiles, describe(spec, dict.fromkeys(names)).profiles, strict=True):
        told = [
            said.decision,
            said.segmentation,
            *said.labels,
            *(grade for organ in said.organs for grade in organ.grades),
        ]
        assert [(rule.comparison, rule.threshold) for rule in told if rule] == thresholds(profile)


def thresholds(profile: object) -> list[tuple[str, float]]:
    match profile:
        case FilmProfile():
            found = [profile.fusion.threshold]
        case SegmentationProfile():
            found = [profile.threshold]
        case SliceLabelsProfile() | VolumeLabelsProfile():
            found = [label.threshold for label in profile.labels]
        case OrganGradingProfile():
            found = [injury.label.threshold for injury in profile.injuries]
            found += [grade.threshold for organ in profile.organs for grade in organ.grades]
        case _:
            raise AssertionError(f"no thresholds known of a {type(profile).__name__}")
    return [(threshold.comparison.value, threshold.value) for threshold in found]
