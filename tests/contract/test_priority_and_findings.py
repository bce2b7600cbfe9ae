"""Priorities as Triton counts them, and what an answer says of its weights."""

from __future__ import annotations

import pytest

from radserve_contract.findings import Decision, Detections, Findings, ImageDescription, ModelIdentity
from radserve_contract.priority import PRIORITY_LEVELS, Priority


def findings(*trained: bool) -> Findings:
    return Findings(
        pipeline="spine",
        profile="deployed",
        decision=Decision("normal", False, 0.1, 0.449, ">"),
        scores=(),
        detections=Detections(False, "normal film", None, ()),
        image=ImageDescription("DICOM", 10, 10),
        models=tuple(ModelIdentity(f"m{index}", "1", "0" * 64, value) for index, value in enumerate(trained)),
        warnings=(),
        changes=(),
        timings_s={},
    )


def test_stat_comes_first_and_every_level_is_used_once():
    assert [priority.triton_level for priority in Priority] == list(range(1, PRIORITY_LEVELS + 1))
    assert Priority("stat").triton_level == 1


@pytest.mark.parametrize(
    ("trained", "answer"), [((True, True), True), ((True, False), False), ((False,), False), ((), False)]
)
def test_one_untrained_model_makes_the_answer_untrained(trained: tuple[bool, ...], answer: bool):
    assert findings(*trained).trained is answer
