"""What /metrics says after known requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from radserve_contract.pipelines import spine
from radserve_preproc.error_docs import all_codes
from radserve_preproc.errors import ModelFailed, Unavailable
from radserve_preproc.settings import Settings
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, digest_of, published, spine_outputs
from tests.live_service import LiveService, wait_for

FILM = make_radiograph()
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def scraped() -> Iterator[Samples]:
    """A scrape after two abnormal films, a normal one, an overlay, a text file, bad addresses and a failing model."""
    triton = FakeTriton()
    with LiveService(triton) as live:
        live.predict(FILM)
        live.predict(FILM, priority="stat")
        triton.answer = spine_outputs(score=0.1)
        live.predict(FILM)
        live.predict(FILM, overlay="boxes")
        live.predict(b"text")
        live.client.get("/v1/pipelines/1.2.840.99/predict")
        live.client.post("/v1/pipelines/SECRET/predict")

        def failing(model: str, tensors: Any) -> Any:
            raise ModelFailed("failed")

        triton.answer = failing
        live.predict(FILM)
        live.client.get("/livez")
        yield samples(live)


def samples(live: LiveService) -> Samples:
    text = live.client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(scraped: Samples, name: str, **labels: str) -> float:
    return scraped[name, tuple(sorted(labels.items()))]


def test_requests_are_counted_by_pipeline_profile_priority_and_status(scraped: Samples) -> None:
    spine_routine = {"pipeline": "spine", "profile": "deployed", "priority": "routine"}
    assert value(scraped, "radserve_requests_total", **spine_routine, status="200") == 3
    assert value(scraped, "radserve_requests_total", **spine_routine, status="415") == 1
    assert value(scraped, "radserve_requests_total", **spine_routine, status="502") == 1
    assert value(scraped, "radserve_requests_total", **spine_routine | {"priority": "stat"}, status="200") == 1


def test_what_is_unknown_is_counted_without_its_name(scraped: Samples) -> None:
    nothing = {"pipeline": "none", "profile": "none", "priority": "none"}
    assert value(scraped, "radserve_requests_total", **nothing, status="404") == 1
    assert value(scraped, "radserve_requests_total", **nothing, status="405") == 1
    assert "SECRET" not in str(scraped)
    assert "1.2.840" not in str(scraped)


def test_probes_are_not_counted(scraped: Samples) -> None:
    assert sum(count for (name, _), count in scraped.items() if name == "radserve_requests_total") == 8


def test_failures_are_counted_by_code_from_zero(scraped: Samples) -> None:
    for code in all_codes():
        expected = {"UNSUPPORTED_FILE": 1, "MODEL_FAILED": 1}.get(code, 0)
        assert value(scraped, "radserve_failures_total", pipeline="spine", code=code) == expected
    assert value(scraped, "radserve_failures_total", pipeline="none", code="UNKNOWN_PIPELINE") == 1


def test_decisions_and_scores_are_counted(scraped: Samples) -> None:
    labels = {"pipeline": "spine", "profile": "deployed", "finding": "decision"}
    assert value(scraped, "radserve_decisions_total", **labels, label="abnormal", trained="true") == 2
    assert value(scraped, "radserve_decisions_total", **labels, label="normal", trained="true") == 2
    assert value(scraped, "radserve_score_count", **labels) == 4
    assert value(scraped, "radserve_score_bucket", **labels, le="0.15") == 2
    assert value(scraped, "radserve_score_sum", **labels) == pytest.approx(1.8)


def test_stages_are_timed_by_pipeline_and_priority(scraped: Samples) -> None:
    name, of_spine = "radserve_stage_duration_seconds_count", {"pipeline": "spine"}
    routine = {
        stage: value(scraped, name, **of_spine, stage=stage, priority="routine")
        for stage in ("upload", "decode", "tensorise", "classify", "detect", "fuse", "render")
    }
    assert routine == {
        "upload": 5,
        "decode": 4,  # the text file was not decoded
        "tensorise": 5,
        "classify": 3,
        "detect": 1,
        "fuse": 3,
        "render": 1,
    }
    assert value(scraped, name, **of_spine, stage="detect", priority="stat") == 1


def test_buckets_reach_from_5_ms_to_a_minute(scraped: Samples) -> None:
    edges = [
        float(dict(labels)["le"])
        for name, labels in scraped
        if name == "radserve_stage_duration_seconds_bucket"
        and dict(labels)["stage"] == "decode"
        and dict(labels)["priority"] == "stat"
    ]
    assert (edges[0], edges[-2], edges[-1]) == (0.005, 60.0, float("inf"))


def test_buckets_of_requests_reach_as_far_as_a_ct_study_may_take(scraped: Samples) -> None:
    edges = {
        float(dict(labels)["le"]) for name, labels in scraped if name == "radserve_request_duration_seconds_bucket"
    }
    assert max(edges - {float("inf")}) > Settings().series_timeout_s


def test_triton_calls_are_timed_by_model_and_outcome(scraped: Samples) -> None:
    name = "radserve_triton_call_duration_seconds_count"
    assert value(scraped, name, model="spine_classification", outcome="ok") == 4 + 1  # the warm-up's
    assert value(scraped, name, model="spine_classification", outcome="MODEL_FAILED") == 1
    assert value(scraped, name, model="spine_yolo11", outcome="ok") == 2


def test_waiting_is_told_apart_by_gate_and_outcome(scraped: Samples) -> None:
    name = "radserve_queue_wait_seconds_count"
    assert value(scraped, name, gate="triton", priority="stat", outcome="granted") == 2
    assert value(scraped, name, gate="cpu", priority="stat", outcome="granted") == 3
    assert value(scraped, "radserve_queue_depth", gate="triton", priority="stat") == 0
    assert value(scraped, "radserve_in_flight", gate="triton", work="spine_yolo11") == 0


def test_upload_sizes_are_counted(scraped: Samples) -> None:
    assert value(scraped, "radserve_upload_bytes_count", pipeline="spine") == 6
    assert value(scraped, "radserve_upload_bytes_sum", pipeline="spine") == 5 * len(FILM) + len(b"text")
    assert value(scraped, "radserve_uploads_held_bytes") == 0


def test_models_are_shown_with_version_digest_and_training(scraped: Samples) -> None:
    for model, trained in (("spine_resnet50", "true"), ("spine_fusion", "none")):
        digest = digest_of(model)
        assert value(scraped, "radserve_model_info", model=model, version="1", digest=digest, trained=trained) == 1
    assert value(scraped, "radserve_ready") == 1


def test_each_check_of_readiness_is_shown(scraped: Samples) -> None:
    checks = {dict(labels)["check"]: passed for (name, labels), passed in scraped.items() if "check_passed" in name}
    models = {f"model {spec.name}" for spec in spine.DEPLOYED.models}
    assert checks == dict.fromkeys({"not shutting down", "warm-up", "triton", "pipelines"} | models, 1)


def test_a_check_says_what_readiness_said_last() -> None:
    triton = FakeTriton()
    with LiveService(triton, model_refresh_s=0.001) as live:
        triton.not_ready.add("spine_yolo11")
        wait_for(lambda: live.client.get("/readyz").status_code == 503)
        assert live.metric("radserve_ready") == 0
        assert live.metric("radserve_check_passed", check="model spine_yolo11") == 0
        assert live.metric("radserve_check_passed", check="model spine_resnet50") == 1
        triton.down = Unavailable("gone")
        wait_for(lambda: live.client.get("/readyz?verbose").text.count("gone") > 0)
        gone = samples(live)
    assert value(gone, "radserve_check_passed", check="triton") == 0
    assert not [labels for name, labels in gone if "model" in str(dict(labels).get("check"))], "nobody knows"


def test_a_replaced_model_disappears_from_the_scrape() -> None:
    triton = FakeTriton()
    with LiveService(triton) as live:
        triton.models = published(spine.DEPLOYED, release="b", trained=False)
        triton.connection += 1
        live.predict(FILM)
        digests = {dict(labels)["digest"] for name, labels in samples(live) if name == "radserve_model_info"}
        decided = {"pipeline": "spine", "profile": "deployed", "finding": "decision", "label": "abnormal"}
        assert live.metric("radserve_decisions_total", **decided, trained="false") == 1
        assert live.metric("radserve_decisions_total", **decided, trained="true") == 0
    assert digests == {digest_of(f"spine_{name}", "b") for name in (*spine.WEIGHTS, "fusion", "yolo11")}


def test_names_follow_prometheus_conventions(scraped: Samples) -> None:
    names = {name for name, _ in scraped if name.startswith("radserve_")}
    assert len(names) > 15
    for name in names:
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert re.fullmatch(r"radserve_[a-z0-9_]+", name)
        assert not re.search(r"_(ms|us|milliseconds|mb|kb)(_|$)", base), name
        assert not name.endswith("_created"), "a second series for each counter"


def test_labels_come_from_closed_sets(scraped: Samples) -> None:
    labels = {label for name, pairs in scraped if name.startswith("radserve_") for label, _ in pairs}
    assert labels == {
        *("pipeline", "profile", "priority", "status", "code", "stage", "le", "gate", "work", "outcome"),
        *("model", "version", "digest", "trained", "finding", "label", "check"),
    }


def test_the_process_is_measured_too(scraped: Samples) -> None:
    assert any(name == "process_resident_memory_bytes" for name, _ in scraped)


def test_openmetrics_when_asked_for() -> None:
    with LiveService(FakeTriton()) as live:
        response = live.client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert response.headers["content-type"].startswith("application/openmetrics-text")
        assert response.text.rstrip().endswith("# EOF")
