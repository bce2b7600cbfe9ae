"""The steps of one study, in this process: real decoding, a fake Triton."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import numpy as np
import pytest

from radserve_contract.pipelines import spine
from radserve_contract.priority import Priority
from radserve_preproc.analyse import Analysis, Order, analyse
from radserve_preproc.deadline import Deadline
from radserve_preproc.detect import Detect
from radserve_preproc.errors import BadModelOutput, DeadlineExceeded, ProfileNotLoaded, RadserveError, Unavailable
from radserve_preproc.metrics import Metrics
from radserve_preproc.service import Service, build_service
from radserve_preproc.settings import Settings
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import RawStudy
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, published, spine_outputs

FILM = make_radiograph()


def order(**changes: Any) -> Order:
    plain = Order(
        spec=spine.SPEC,
        profile=spine.DEPLOYED,
        priority=Priority.ROUTINE,
        detect=Detect.AUTO,
        deadline=Deadline.after(300),
        request_id="request-1",
    )
    return dataclasses.replace(plain, **changes)


def run(triton: FakeTriton, content: bytes = FILM, **changes: Any) -> Analysis:
    async def main() -> Analysis:
        service = build_service(Settings(cpu_threads=1), (spine.SPEC,), triton, Metrics())
        try:
            return await analyse(RawStudy(content), order(**changes), service, Stopwatch())
        finally:
            await service.close()

    return asyncio.run(main())


def test_an_abnormal_film_is_classified_and_then_searched_for_lesions() -> None:
    triton = FakeTriton(spine_outputs(score=0.8))
    findings = run(triton).findings
    assert triton.called() == ["spine_classification", "spine_yolo11"]
    assert findings.decision.label == "abnormal"
    assert findings.detections.ran
    assert findings.detections.reason == "the study is abnormal"
    assert [model.name for model in findings.models][-1] == "spine_yolo11"


def test_a_normal_film_does_not_cost_the_detector() -> None:
    triton = FakeTriton(spine_outputs(score=0.2))
    findings = run(triton).findings
    assert triton.called() == ["spine_classification"]
    assert (findings.detections.ran, findings.detections.reason) == (False, "the study is normal")
    assert "spine_yolo11" not in [model.name for model in findings.models]


@pytest.mark.parametrize("score", [0.2, 0.8])
def test_detect_always_is_one_round_trip_whatever_the_decision(score: float) -> None:
    triton = FakeTriton(spine_outputs(score=score))
    findings = run(triton, detect=Detect.ALWAYS).findings
    assert triton.called() == ["spine"]
    assert (findings.detections.ran, findings.detections.reason) == (True, "detect=always")
    assert len(findings.detections.boxes) == 1


def test_detect_never_leaves_an_abnormal_film_without_boxes_and_says_so() -> None:
    triton = FakeTriton(spine_outputs(score=0.8))
    findings = run(triton, detect=Detect.NEVER).findings
    assert triton.called() == ["spine_classification"]
    assert (findings.detections.ran, findings.detections.reason) == (False, "detect=never")


def test_boxes_are_the_same_asked_at_once_or_afterwards() -> None:
    boxes = [(100, 50, 300, 200, 0.9, 1), (0, 0, 640, 640, 0.5, 2)]
    answers = [run(FakeTriton(spine_outputs(boxes=boxes)), detect=detect) for detect in (Detect.AUTO, Detect.ALWAYS)]
    first, second = (answer.findings.detections.boxes for answer in answers)
    assert first == second
    assert len(first) == 2


@pytest.mark.parametrize(
    ("detect", "tensors"),
    [
        (Detect.AUTO, [{"classifier_image": (1, 1, 224, 224)}, {"image": (1, 1, 640, 640)}]),
        (Detect.ALWAYS, [{"classifier_image": (1, 1, 224, 224), "detector_image": (1, 1, 640, 640)}]),
        (Detect.NEVER, [{"classifier_image": (1, 1, 224, 224)}]),
    ],
)
def test_each_model_gets_the_tensors_it_needs_and_no_other(
    detect: Detect, tensors: list[dict[str, tuple[int, ...]]]
) -> None:
    triton = FakeTriton()
    run(triton, detect=detect)
    assert [{name: tensor.shape for name, tensor in call.tensors.items()} for call in triton.calls] == tensors
    assert {tensor.dtype for call in triton.calls for tensor in call.tensors.values()} == {np.dtype(np.uint8)}


def test_every_model_is_called_as_the_contract_has_it() -> None:
    triton = FakeTriton()
    for detect in Detect:
        run(triton, detect=detect)
    for call in triton.calls:
        model = spine.DEPLOYED.model(call.model)
        assert {tensor.name: (1, *tensor.dims) for tensor in model.inputs} == {
            name: tensor.shape for name, tensor in call.tensors.items()
        }
        assert list(call.outputs) == [output.name for output in model.outputs]


def test_the_published_profile_has_models_and_a_size_of_its_own() -> None:
    triton = FakeTriton(models=published(spine.PUBLISHED))
    findings = run(triton, profile=spine.PUBLISHED).findings
    assert triton.called() == ["spine_published_classification", "spine_yolo11"]
    assert triton.calls[0].tensors["classifier_image"].shape == (1, 1, 384, 384)
    assert (findings.profile, findings.decision.comparison) == ("published", ">=")


def test_a_profile_that_is_not_loaded_is_refused_before_anything_is_done() -> None:
    with pytest.raises(ProfileNotLoaded):
        run(FakeTriton(), b"not even a film", profile=spine.PUBLISHED)


def test_priority_request_id_and_the_time_that_is_left_reach_triton() -> None:
    triton = FakeTriton()
    run(triton, priority=Priority.STAT, deadline=Deadline.after(300))
    for call in triton.calls:
        assert (call.priority, call.request_id) == (Priority.STAT, "request-1")
        assert 0 < call.timeout_s < 300
    assert triton.calls[1].timeout_s < triton.calls[0].timeout_s


def test_one_untrained_network_makes_the_answer_untrained() -> None:
    models = published(spine.DEPLOYED) | {"spine_resnet50": published(spine.DEPLOYED, trained=False)["spine_resnet50"]}
    findings = run(FakeTriton(models=models)).findings
    assert not findings.trained
    assert [model.name for model in findings.models if model.trained is False] == ["spine_resnet50"]


def test_an_untrained_detector_that_was_not_asked_does_not_make_the_answer_untrained() -> None:
    models = published(spine.DEPLOYED) | {"spine_yolo11": published(spine.DEPLOYED, trained=False)["spine_yolo11"]}
    assert run(FakeTriton(spine_outputs(score=0.1), models)).findings.trained
    assert not run(FakeTriton(spine_outputs(score=0.9), models)).findings.trained


def test_timings_are_in_the_order_of_the_steps_and_waiting_stands_apart() -> None:
    timings = run(FakeTriton()).findings.timings_s
    assert list(timings) == [
        "decode_wait",
        "decode",
        "tensorise_wait",
        "tensorise",
        "classify_wait",
        "classify",
        "detect_wait",
        "detect",
        "fuse",
    ]
    assert all(seconds >= 0 for seconds in timings.values())


def test_nan_from_triton_is_no_answer() -> None:
    with pytest.raises(BadModelOutput):
        run(FakeTriton(spine_outputs(score=float("nan"))))


def test_an_output_that_is_missing_is_no_answer() -> None:
    def forgetful(model: str, tensors: Any) -> Any:
        return {name: array for name, array in spine_outputs()(model, tensors).items() if name != "resnet50"}

    with pytest.raises(BadModelOutput, match="resnet50"):
        run(FakeTriton(forgetful))


def test_triton_replaced_during_the_study_is_no_answer() -> None:
    triton = FakeTriton()

    def replaced(model: str, tensors: Any) -> Any:
        triton.models = published(spine.DEPLOYED, release="b")
        triton.connection += 1
        return spine_outputs()(model, tensors)

    triton.answer = replaced
    with pytest.raises(Unavailable, match="send the study again"):
        run(triton)


def test_a_deadline_that_has_passed_stops_the_study_before_triton() -> None:
    triton = FakeTriton()
    with pytest.raises(DeadlineExceeded):
        run(triton, deadline=Deadline.after(0))
    assert triton.calls == []


def test_calls_of_one_network_wait_for_each_other() -> None:
    """More studies than the networks take at once: none is with Triton beyond the limit."""
    running, most = 0, 0
    all_there = asyncio.Event()

    async def busy(model: str, tensors: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            all_there.set()
        await asyncio.wait_for(all_there.wait(), 60)  # however long decoding takes
        await asyncio.sleep(0.01)  # a fourth would come now
        running -= 1
        return spine_outputs(score=0.1)(model, tensors)

    async def main() -> None:
        service: Service = build_service(
            Settings(cpu_threads=2, triton_in_flight=3), (spine.SPEC,), FakeTriton(busy), Metrics()
        )
        studies = (analyse(RawStudy(FILM), order(), service, Stopwatch()) for _ in range(12))
        await asyncio.gather(*studies)
        await service.close()

    asyncio.run(main())
    assert most == 3


def test_a_bad_study_costs_triton_nothing() -> None:
    triton = FakeTriton()
    with pytest.raises(RadserveError):
        run(triton, make_radiograph(BodyPartExamined="CHEST", StudyDescription="Chest"))
    assert triton.calls == []
