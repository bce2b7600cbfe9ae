"""What pods are added and taken away by: real Prometheus evaluates every query on numbers worked out by hand."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.debian import debian_tool
from tests.helm.chart import Object, Rendered, preproc, render, rendered, values_of, with_changes

TRITON = 'namespace="imaging",pod="radserve-triton-6d5-x"'
SERVICE = 'namespace="imaging",pod="radserve-preproc-7f9-{}"'
MINUTES = 30


def queries(objects: Rendered) -> dict[str, str]:
    """Name of each KEDA trigger and its query."""
    triggers = [trigger for item in objects.of("ScaledObject") for trigger in item["spec"]["triggers"]]
    return {trigger["name"]: trigger["metadata"]["query"] for trigger in triggers}


def evaluated(folder: Path, series: dict[str, str], expected: dict[str, float]) -> None:
    """Let promtool evaluate the queries of the chart after half an hour of ``series``."""
    promtool = debian_tool("promtool")
    known = queries(rendered("keda"))
    tests = [
        {"expr": known[name], "eval_time": f"{MINUTES}m", "exp_samples": [{"labels": "{}", "value": value}]}
        for name, value in expected.items()
    ]
    inputs = [{"series": name, "values": f"{values}x{MINUTES * 6}"} for name, values in series.items()]
    (folder / "none.yaml").write_text("groups: []\n")
    text = {
        "rule_files": ["none.yaml"],
        "tests": [{"interval": "10s", "input_series": inputs, "promql_expr_test": tests}],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(text))
    run = subprocess.run([promtool, "test", "rules", folder / "test.yaml"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_idle_system_is_zero_and_not_absent(tmp_path: Path):
    names = (
        "triton-pending-requests",
        "triton-queue-wait-seconds",
        "triton-service-queue",
        "triton-wake",
        "preproc-cpu-jobs",
    )
    assert set(queries(rendered("keda"))) == set(names)

    evaluated(tmp_path, {}, dict.fromkeys(names, 0.0))


def test_without_requests_the_queue_wait_is_zero_although_the_counters_are_there(tmp_path: Path):
    labels = f'{{{TRITON},model="hemorrhage",version="1"}}'
    series = {f"nv_inference_queue_duration_us{labels}": "5000+0", f"nv_inference_request_success{labels}": "7+0"}

    evaluated(tmp_path, series, {"triton-queue-wait-seconds": 0.0})


def test_pending_requests_are_those_of_networks_alone_and_of_this_release(tmp_path: Path):
    pending = "nv_inference_pending_request_count"
    other = 'namespace="imaging",pod="second-triton-1"'
    series = {
        f'{pending}{{{TRITON},model="spine_resnet50",version="1"}}': "3+0",
        f'{pending}{{{TRITON},model="hemorrhage",version="1"}}': "4+0",
        f'{pending}{{{TRITON},model="spine",version="1"}}': "50+0",
        f'{pending}{{{TRITON},model="spine_published_classification",version="1"}}': "50+0",
        f'{pending}{{{other},model="hemorrhage",version="1"}}': "9+0",
        f'{pending}{{namespace="elsewhere",pod="radserve-triton-1",model="hemorrhage",version="1"}}': "9+0",
    }

    evaluated(tmp_path, series, {"triton-pending-requests": 7.0})


def test_the_queue_wait_is_right_for_one_slow_network_among_fast_ones(tmp_path: Path):
    """One CT every 10 s that waits 5 s (0.1 requests a second), 9 films every 10 s that wait 0.1 s: mean 0.59 s."""
    slow, fast = f'{{{TRITON},model="abdominal_trauma"}}', f'{{{TRITON},model="spine_resnet50"}}'
    series = {
        f"nv_inference_queue_duration_us{slow}": "0+5000000",
        f"nv_inference_request_success{slow}": "0+1",
        f"nv_inference_queue_duration_us{fast}": "0+900000",
        f"nv_inference_request_success{fast}": "0+9",
    }

    evaluated(tmp_path, series, {"triton-queue-wait-seconds": 0.59})


def test_a_mean_at_a_tenth_of_a_request_a_second_is_not_divided_by_one(tmp_path: Path):
    labels = f'{{{TRITON},model="abdominal_trauma"}}'
    series = {f"nv_inference_queue_duration_us{labels}": "0+5000000", f"nv_inference_request_success{labels}": "0+1"}

    evaluated(tmp_path, series, {"triton-queue-wait-seconds": 5.0})


def test_the_service_counts_what_waits_and_what_runs_over_its_pods_by_gate(tmp_path: Path):
    series: dict[str, str] = {}
    for pod, waiting in (("a", 5), ("b", 7)):
        labels = SERVICE.format(pod)
        series[f'radserve_queue_depth{{{labels},gate="triton",priority="stat"}}'] = f"{waiting}+0"
        series[f'radserve_in_flight{{{labels},gate="triton",work="spine"}}'] = "2+0"
        series[f'radserve_queue_depth{{{labels},gate="cpu",priority="stat"}}'] = "1+0"
        series[f'radserve_in_flight{{{labels},gate="cpu",work="decode"}}'] = "4+0"

    evaluated(tmp_path, series, {"triton-service-queue": 16.0, "preproc-cpu-jobs": 10.0})


def test_a_study_that_was_turned_away_for_want_of_a_triton_wakes_one(tmp_path: Path):
    labels = SERVICE.format("a")
    refused = f'radserve_failures_total{{{labels},pipeline="spine",code="TRITON_UNAVAILABLE"}}'

    evaluated(tmp_path, {refused: "0+3"}, {"triton-wake": 1.0})


def test_a_study_that_was_unfit_does_not(tmp_path: Path):
    refused = f'radserve_failures_total{{{SERVICE.format("a")},pipeline="spine",code="WRONG_MODALITY"}}'

    evaluated(tmp_path, {refused: "0+3"}, {"triton-wake": 0.0})


def test_the_codes_that_wake_triton_and_the_metrics_exist():
    from radserve_preproc.error_docs import all_codes
    from radserve_preproc.metrics import Metrics

    text = " ".join(queries(rendered("keda")).values())
    codes = re.search(r'code=~"([^"]+)"', text)[1].split("|")
    assert set(codes) <= set(all_codes())
    families = {family.name for family in Metrics().registry.collect()}
    assert {name.removesuffix("_total") for name in re.findall(r"radserve_[a-z_]+", text)} <= families


def test_from_zero_the_service_takes_studies_without_triton():
    scaled = {item["metadata"]["name"]: item["spec"] for item in rendered("keda").of("ScaledObject")}

    assert scaled["radserve-triton"]["minReplicaCount"] == 0
    assert preproc(rendered("keda"))["readinessProbe"]["httpGet"]["path"] == "/livez"
    one = render(with_changes("keda", {"triton.autoscaling.minReplicas": 1}))
    assert preproc(one)["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "triton-wake" not in queries(one)


def test_whoever_scales_decides_how_many_pods_there_are():
    for name, kind in (("hpa", "HorizontalPodAutoscaler"), ("keda", "ScaledObject")):
        objects = rendered(name)
        targets = {item["spec"]["scaleTargetRef"]["name"] for item in objects.of(kind)}
        assert targets == {item["metadata"]["name"] for item in objects.of("Deployment")}
        assert [item for item in objects.of("Deployment") if "replicas" in item["spec"]] == []
    assert rendered("hpa").of("ScaledObject") == rendered("keda").of("HorizontalPodAutoscaler") == []


def adapter_rules(objects: Rendered) -> list[Object]:
    (rules,) = objects.of("ConfigMap")
    return yaml.safe_load(rules["data"]["external.yaml"])


def test_the_adapter_is_told_of_every_metric_that_the_autoscaler_asks_for():
    objects = rendered("hpa")

    asked = [
        metric["external"]["metric"]["name"]
        for item in objects.of("HorizontalPodAutoscaler")
        for metric in item["spec"]["metrics"]
    ]
    rules = {rule["name"]["as"]: rule for rule in adapter_rules(objects)}
    assert set(asked) == set(rules)
    assert all(name.startswith("imaging_radserve_") for name in asked)
    same = {query for name, query in queries(rendered("keda")).items() if name != "triton-wake"}
    assert {rule["metricsQuery"] for rule in rules.values()} == same


def test_two_releases_in_a_cluster_have_metrics_of_their_own():
    def names(release: str, namespace: str) -> set[str]:
        made = render(values_of("hpa"), release=release, namespace=namespace)
        return {rule["name"]["as"] for rule in adapter_rules(made)}

    first, second, third = names("radserve", "a"), names("radserve-2", "a"), names("radserve", "b")
    assert not first & second
    assert not first & third


def aims(item: Object) -> dict[str, Any]:
    return {
        metric["external"]["metric"]["name"].partition("radserve_")[2]: metric["external"]["target"]
        for metric in item["spec"]["metrics"]
    }


def test_sums_are_shared_by_the_pods_and_means_are_not():
    scaled = rendered("hpa").one("HorizontalPodAutoscaler", "radserve-triton")

    assert aims(scaled) == {
        "triton_pending_requests": {"type": "AverageValue", "averageValue": "8"},
        "triton_queue_wait_seconds": {"type": "Value", "value": "1"},
        "triton_service_queue": {"type": "AverageValue", "averageValue": "16"},
    }
    triggers = rendered("keda").one("ScaledObject", "radserve-triton")["spec"]["triggers"]
    assert {trigger["name"]: trigger["metricType"] for trigger in triggers}["triton-queue-wait-seconds"] == "Value"


@pytest.mark.parametrize("name", ["hpa", "keda"])
def test_nothing_scales_by_the_use_of_a_gpu(name: str):
    scaled = [item for item in rendered(name).objects if item["kind"] in ("HorizontalPodAutoscaler", "ScaledObject")]

    text = json.dumps(scaled + rendered(name).of("ConfigMap")).lower()
    assert scaled
    assert not re.search(r"nv_gpu|dcgm|utili[sz]ation|\"resource\": \{\"name", text)
