"""Mistakes of existing charts that users reported, by their number in the list of serving facts: none is here."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest

from radserve_contract.pipelines import PIPELINES
from tests.helm.chart import NAMES, Object, flags, render, rendered, text_of, triton, with_changes
from tests.helm.generated import ROOT
from tests.helm.values_file import VALUES, flat, keys_of
from tests.images.dockerfile import parse
from tests.images.tritonserver import ENTRYPOINT
from tests.images.tritonserver import flags as entrypoint_flags

MODELS = {
    model.name: bool(model.composes) for spec in PIPELINES for profile in spec.profiles for model in profile.models
}


def queries() -> list[str]:
    """Every query by which the chart scales."""
    triggers = [trigger for item in rendered("keda").of("ScaledObject") for trigger in item["spec"]["triggers"]]
    return [trigger["metadata"]["query"] for trigger in triggers]


def containers(name: str) -> list[Object]:
    pods = rendered(name).pods().values()
    return [item for pod in pods for item in (*pod.get("initContainers", ()), *pod["containers"])]


def test_21_the_autoscalers_api_is_one_that_clusters_have_and_its_signals_are_sums():
    scalers = rendered("hpa").of("HorizontalPodAutoscaler")

    assert [item["apiVersion"] for item in scalers] == ["autoscaling/v2", "autoscaling/v2"]
    for query in queries():
        assert not re.search(r"\b(avg|delta|idelta|1 \+)\b", query)
        assert query.endswith("or vector(0)"), "idle is 0, and not an absent metric that stops the autoscaler"


def test_21_every_key_that_a_page_names_is_a_key_of_the_values():
    known = {key.name for key in flat(keys_of(VALUES.read_text("utf-8")))}
    pages = [ROOT / "docs" / "kubernetes.md", ROOT / "deploy" / "manifests" / "README.md"]
    roots = "|".join(sorted({name.partition(".")[0] for name in known if "." in name}))
    named = {
        name
        for text in (*(page.read_text("utf-8") for page in pages), rendered("minimal").notes)
        for name in re.findall(rf"(?<![\w./-])((?:{roots})(?:\.[a-z]\w*)+)", text)
    }

    assert len(named) > 20
    assert sorted(name for name in named if name not in known and not _inside_open(name)) == []


def _inside_open(name: str) -> bool:
    """Whether a name is of Kubernetes' own, such as triton.resources.limits; file names look alike too."""
    keys = {key.name: key for key in flat(keys_of(VALUES.read_text("utf-8")))}
    parents = [name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)]
    return any(parent in keys and keys[parent].schema.get("open") for parent in parents)


def test_21_nothing_of_triton_is_published():
    for name in NAMES:
        for ingress in rendered(name).of("Ingress"):
            paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
            assert [path["path"] for path in paths] == ["/v1"]
            assert all("triton" not in json.dumps(path["backend"]) for path in paths)
        kinds = {
            item["spec"].get("type", "ClusterIP")
            for item in rendered(name).of("Service")
            if "triton" in item["metadata"]["name"]
        }
        assert kinds == {"ClusterIP"}


def test_22_no_divisor_is_raised_to_one():
    rules = json.dumps(rendered("monitoring").of("PrometheusRule"))

    assert not re.search(r"/\s*\(*\s*clamp_min\([^)]*rate", " ".join(queries()) + rules)
    assert any("> 0)" in query and "/ 1e6" in query for query in queries())


def test_23_the_prestop_hook_runs_its_whole_command(tmp_path: Path):
    """A ``sleep`` of our own, first on PATH, writes down what it was asked for."""
    record = tmp_path / "slept"
    (tmp_path / "sleep").write_text(f'#!/bin/sh\necho "$@" >> {record}\n')
    (tmp_path / "sleep").chmod(0o755)
    command = triton(rendered("minimal"))["lifecycle"]["preStop"]["exec"]["command"]

    run = subprocess.run(command, env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}, check=False)

    assert run.returncode == 0
    assert record.read_text() == "235\n"
    assert len(command) == 3, "sh -c takes one string; a further one would be an argument that nobody reads"


@pytest.mark.parametrize("name", NAMES)
def test_23_the_grace_period_holds_the_hook_and_the_longest_inference(name: str):
    for key, pod in rendered(name).pods().items():
        if not key.startswith("Deployment/"):
            continue
        hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep 0"])
        slept = int(hook[-1].split()[-1])
        longest = int(flags(pod["containers"][0])["--exit-timeout-secs"]) if key.endswith("triton") else 15 + 170
        assert pod["terminationGracePeriodSeconds"] > slept + longest


def test_23_an_update_takes_no_pod_away_before_its_successor_is_ready():
    for item in rendered("minimal").of("Deployment"):
        assert item["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_24_signals_leave_ensembles_out_and_nothing_else():
    patterns = {pattern for query in queries() for pattern in re.findall(r'model!~"([^"]+)"', query)}

    (pattern,) = patterns
    assert {name for name in MODELS if re.fullmatch(pattern, name)} == {name for name, parts in MODELS.items() if parts}
    of_triton = [query for query in queries() if "nv_inference" in query]
    assert any("nv_inference_pending_request_count" in query for query in of_triton)
    assert all("model!~" in query for query in of_triton)


def test_24_the_gpus_own_metrics_are_off_where_dcgm_would_be_in_the_way():
    for name in ("gpu", "mig", "cpu"):
        assert flags(triton(rendered(name)))["--allow-gpu-metrics"] == "false"


def test_25_failures_are_counted_at_the_service():
    text = " ".join(queries())

    assert "radserve_failures_total" in text
    assert "nv_inference_request_failure" not in text


def test_26_latency_percentiles_come_from_the_services_histograms():
    rules = [
        rule["expr"]
        for item in rendered("monitoring").of("PrometheusRule")
        for group in item["spec"]["groups"]
        for rule in group["rules"]
        if "histogram_quantile" in rule["expr"]
    ]

    assert any("radserve_request_duration_seconds_bucket" in expression for expression in rules)


def test_26_monitors_call_the_targets_what_rules_call_them():
    rules = json.dumps(rendered("monitoring").of("PrometheusRule"))
    monitors = (*rendered("monitoring").of("ServiceMonitor"), *rendered("monitoring").of("PodMonitor"))

    endpoints = [
        point
        for item in monitors
        for key in ("endpoints", "podMetricsEndpoints")
        for point in item["spec"].get(key, ())
    ]
    jobs = {
        relabel["replacement"]
        for point in endpoints
        for relabel in point["relabelings"]
        if relabel["targetLabel"] == "job"
    }
    named = set(re.findall(r'job=~?\\"([\w()|-]+)\\"', rules))
    assert named
    assert {job for pattern in named for job in jobs if re.fullmatch(pattern, job)} == jobs
    assert [pattern for pattern in named if not any(re.fullmatch(pattern, job) for job in jobs)] == []


@pytest.mark.parametrize("name", NAMES)
def test_27_liveness_depends_on_no_model_and_readiness_on_each(name: str):
    for key, pod in rendered(name).pods().items():
        if not key.startswith("Deployment/"):
            continue
        probes = {
            kind: json.dumps(pod["containers"][0][f"{kind}Probe"]) for kind in ("startup", "liveness", "readiness")
        }
        if key.endswith("triton"):
            assert "/v2/health/live" in probes["liveness"]
            assert "models" not in probes["liveness"] + probes["startup"]
            assert "models/spine/ready" in probes["readiness"]
        else:
            assert "/livez" in probes["liveness"]
            assert ("/livez" if name == "keda" else "/readyz") in probes["readiness"]


def test_28_nobody_loads_a_model_into_a_running_server():
    shut = entrypoint_flags(ENTRYPOINT.read_text("utf-8"))

    assert shut["--model-control-mode"] == "none"
    for flag in ("--model-control-mode=poll", "--model-control-mode", "--repository-poll-secs=5"):
        with pytest.raises(helm.HelmError, match="not open to values"):
            render(with_changes("minimal", {"triton.extraArgs": [flag]}))


@pytest.mark.parametrize("name", NAMES)
def test_28_triton_reads_a_copy_that_nobody_else_can_write(name: str):
    (pod,) = [pod for key, pod in rendered(name).pods().items() if key.endswith("-triton")]

    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["mountPath"] == "/models"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert mount["readOnly"] is True
    assert set(volume) == {"name", "emptyDir"}


def test_28_a_rollback_is_the_release_that_was():
    before = rendered("minimal").objects
    after = render(with_changes("minimal", {"repository.pvc.subPath": "next"})).objects

    assert after != before
    assert render(with_changes("minimal", {})).objects == before


def test_29_the_triton_image_holds_the_backend_that_is_used_and_no_other():
    image = parse((ROOT / "triton_server/Dockerfile").read_text("utf-8")).final

    (backends,) = [item.value for item in image.all("ARG") if item.value.startswith("TRITON_BACKENDS=")]
    assert backends == 'TRITON_BACKENDS="onnxruntime"'


@pytest.mark.parametrize("name", NAMES)
def test_29_every_image_is_named_by_a_tag_or_digest_that_stays(name: str):
    for container in containers(name):
        assert re.search(r"(:[\w.-]*\d[\w.-]*|@sha256:[0-9a-f]{64})$", container["image"])
        assert container["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize("name", NAMES)
def test_30_no_pod_fetches_software(name: str):
    for container in containers(name):
        words = json.dumps([container.get("command"), container.get("args"), container.get("lifecycle")])
        assert not re.search(r"\b(apt|apt-get|apk|pip|wget|git|npm)\b", words)
        assert set(re.findall(r"https?://([\w.-]+)", words)) <= {"127.0.0.1", "radserve-preproc", "xray-preproc"}


def test_30_every_image_can_come_from_a_mirror():
    given: dict[str, Any] = {"global.imageRegistry": "mirror.example.org"}
    for name in ("minimal", "mig", "s3"):
        pods = render(with_changes(name, given)).pods().values()
        images = [item["image"] for pod in pods for item in (*pod.get("initContainers", ()), *pod["containers"])]
        assert [image for image in images if not image.startswith("mirror.example.org/")] == []


def test_each_number_has_a_test():
    numbers = {
        int(number) for number in re.findall(r"^def test_(\d+)_", Path(__file__).read_text("utf-8"), re.MULTILINE)
    }

    assert numbers == set(range(21, 31))
    assert "apiVersion: v2" in text_of("Chart.yaml")
