"""When the service says it is ready, and what it names when it is not."""

from __future__ import annotations

import pytest

from radserve_contract.pipelines import hemorrhage, spine
from radserve_preproc.app import chosen
from radserve_preproc.errors import Unavailable
from radserve_preproc.settings import ConfigurationError
from tests.fake_triton import FakeTriton, published, spine_outputs
from tests.live_service import LiveService, error_of, wait_for


def is_ready(live: LiveService) -> bool:
    return live.client.get("/readyz").status_code == 200


def test_before_it_is_ready_a_film_went_every_way_through_the_default_profile() -> None:
    triton = FakeTriton()
    live = LiveService(triton, wait_ready=False)
    with live:
        wait_for(lambda: is_ready(live))
    assert triton.called() == ["spine", "spine_classification"]


def test_every_loaded_profile_is_warmed() -> None:
    triton = FakeTriton(models=published(spine.DEPLOYED) | published(spine.PUBLISHED))
    with LiveService(triton, wait_ready=False) as live:
        wait_for(lambda: is_ready(live))
    assert triton.called() == ["spine", "spine_classification", "spine_published", "spine_published_classification"]


def test_warming_is_not_counted_as_a_study() -> None:
    with LiveService(FakeTriton()) as live:
        assert live.metric("radserve_score_count", pipeline="spine", profile="deployed") == 0


def test_a_service_whose_triton_is_down_is_alive_but_not_ready_and_becomes_ready_by_itself() -> None:
    triton = FakeTriton()
    triton.down = Unavailable("Triton at triton:8001 does not answer")
    with LiveService(triton, wait_ready=False) as live:
        error = error_of(live.client.get("/readyz"))
        assert "triton: Triton at triton:8001 does not answer" in error["message"]
        assert live.metric("radserve_ready") == 0
        triton.down = None
        wait_for(lambda: is_ready(live))
        assert live.metric("radserve_ready") == 1


def test_a_model_that_answers_nonsense_keeps_the_service_from_becoming_ready() -> None:
    triton = FakeTriton(spine_outputs(score=float("nan")))
    with LiveService(triton, wait_ready=False) as live:
        wait_for(lambda: "NaN" in live.client.get("/readyz").text)
        triton.answer = spine_outputs()
        wait_for(lambda: is_ready(live))


def test_a_defect_in_the_warm_up_does_not_end_it() -> None:
    triton = FakeTriton(lambda model, tensors: {}[model])
    with LiveService(triton, wait_ready=False) as live:
        wait_for(lambda: "unexpected error" in live.client.get("/readyz").text)
        triton.answer = spine_outputs()
        wait_for(lambda: is_ready(live))


@pytest.mark.parametrize("name", ["spine_resnet50", "spine_fusion", "spine"])
def test_the_one_model_that_is_not_ready_is_named(name: str) -> None:
    triton = FakeTriton()
    with LiveService(triton) as live:
        triton.not_ready = {name}
        triton.connection += 1
        error = error_of(live.client.get("/readyz"))
        assert error["message"] == f"model {name}: {name} is not ready"
        assert [check["name"] for check in error["details"]["checks"]] == [f"model {name}"]


def test_verbose_lists_every_check() -> None:
    with LiveService(FakeTriton()) as live:
        checks = live.client.get("/readyz?verbose").json()["checks"]
        assert [check["name"] for check in checks] == [
            "not shutting down",
            "warm-up",
            "triton",
            "pipelines",
            *(f"model {model.name}" for model in spine.DEPLOYED.models),
        ]
        assert all(check["passed"] for check in checks)
        assert live.client.get("/readyz").json() == {"ready": True, "checks": []}


def test_verbose_lists_every_check_also_when_one_fails() -> None:
    triton = FakeTriton()
    with LiveService(triton) as live:
        triton.not_ready = {"spine_fusion"}
        triton.connection += 1
        checks = error_of(live.client.get("/readyz?verbose"))["details"]["checks"]
        assert {check["name"]: check["passed"] for check in checks}["model spine_fusion"] is False
        assert len(checks) == 4 + len(spine.DEPLOYED.models)


def test_a_profile_beside_the_default_one_is_not_needed() -> None:
    triton = FakeTriton(models=published(spine.DEPLOYED) | published(spine.PUBLISHED))
    with LiveService(triton) as live:
        triton.not_ready = {"spine_published"}
        triton.connection += 1
        assert is_ready(live)


def test_a_pipeline_that_the_repository_does_not_hold_is_not_waited_for() -> None:
    with LiveService(FakeTriton(), wait_ready=False, specs=(spine.SPEC, hemorrhage.SPEC)) as live:
        wait_for(lambda: is_ready(live))


def test_a_pipeline_that_the_settings_name_is_waited_for() -> None:
    specs = (spine.SPEC, hemorrhage.SPEC)
    with LiveService(FakeTriton(), wait_ready=False, specs=specs, pipelines="spine,hemorrhage") as live:
        wait_for(lambda: "hemorrhage is not in the served repository" in live.client.get("/readyz").text)


def test_a_repository_without_any_pipeline_is_said_plainly() -> None:
    with LiveService(FakeTriton(models={}), wait_ready=False) as live:
        wait_for(lambda: "no pipeline's default profile is in the served repository" in live.client.get("/readyz").text)


def test_only_the_pipelines_that_the_settings_name_are_served() -> None:
    with LiveService(FakeTriton(), specs=(spine.SPEC, hemorrhage.SPEC), pipelines="spine") as live:
        assert [item["name"] for item in live.client.get("/v1/pipelines").json()["pipelines"]] == ["spine"]


def test_a_pipeline_that_does_not_exist_is_no_setting() -> None:
    with pytest.raises(ConfigurationError, match="RADSERVE_PIPELINES: no pipeline knee; there are spine"):
        chosen((spine.SPEC,), "spine,knee")
