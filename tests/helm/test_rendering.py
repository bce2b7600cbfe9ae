"""Real Helm lints the chart and renders every values file of ci/ to objects that a cluster would take."""

from __future__ import annotations

import copy
import functools
import json
import re
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.helm.chart import NAMES, NAMESPACE, Object, render, rendered, text_of, values_of
from tests.helm.values_file import CHART

VERSIONS = [version for version in kubernetes_validate.utils.all_versions() if version >= "1.29"]
"""What Chart.yaml allows, as far as schemas are known."""
SCHEMAS = {
    path.stem: json.loads(path.read_text("utf-8"))
    for path in (Path(__file__).parent / "custom_resources").glob("*.json")
}
WARNING = 2
"""Severity from which Helm's strict lint fails; 1 is information, such as a missing icon."""


@pytest.fixture(scope="module", autouse=True)
def _schemas_are_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            kubernetes_validate.utils, "schema_contents", functools.cache(kubernetes_validate.utils.schema_contents)
        )
        yield


def problem(item: Object, version: str) -> str:
    """What is wrong with an object in that version of Kubernetes; empty when nothing is."""
    try:
        if item["kind"] in SCHEMAS:
            jsonschema.validate(item, SCHEMAS[item["kind"]])
        else:
            kubernetes_validate.validate(item, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.utils.SchemaNotFoundError) as error:
        return f"{item['kind']}/{item['metadata']['name']}: {error.message}"
    return ""


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_lints_strictly(name: str):
    report = helm.lint(CHART, values_of(name), strict=True)

    assert report["total_charts_linted"] == 1
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] >= WARNING] == []


def test_a_lint_fault_would_be_seen():
    report = helm.lint(CHART, {"triton": {"replicaCount": "many"}}, strict=True)

    assert [message for message in report["messages"] if message["severity"] >= WARNING]


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_valid_in_every_supported_version(name: str):
    objects = rendered(name).objects

    assert len(objects) >= 8
    assert [(version, found) for version in VERSIONS for item in objects if (found := problem(item, version))] == []


def test_the_oldest_version_that_is_tested_is_the_oldest_that_the_chart_takes():
    oldest = yaml.safe_load(text_of("Chart.yaml"))["kubeVersion"]

    assert oldest == f">={VERSIONS[0]}-0"
    assert len(VERSIONS) >= 9


@pytest.mark.parametrize(
    ("name", "kind", "path", "value"),
    [
        ("cpu", "Deployment", ("spec", "template", "spec", "enableServiceLink"), False),
        ("cpu", "Service", ("spec", "ports", 0, "port"), "http"),
        ("keda", "ScaledObject", ("spec", "minReplicas"), 1),
        ("keda", "ScaledObject", ("spec", "triggers", 0, "metadata", "threshold"), 8),
        ("monitoring", "PodMonitor", ("spec", "podMetricsEndpoints", 0, "interval"), "often"),
        ("monitoring", "ServiceMonitor", ("spec", "endpoint"), []),
        ("monitoring", "PrometheusRule", ("spec", "groups", 0, "rules", 0, "expression"), "up"),
        ("cert-manager", "Certificate", ("spec", "dnsNames"), []),
    ],
)
def test_an_object_with_a_fault_would_be_seen(name: str, kind: str, path: tuple[Any, ...], value: Any):
    item = copy.deepcopy(rendered(name).of(kind)[0])
    *folders, last = path
    functools.reduce(lambda place, key: place[key], folders, item)[last] = value

    assert problem(item, VERSIONS[-1])


@pytest.mark.parametrize("name", NAMES)
def test_names_fit_labels_are_there_and_nothing_comes_twice(name: str):
    objects = rendered(name).objects
    own = [item for item in objects if not item["metadata"]["name"].endswith("-site")]

    keys = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(keys) == len(set(keys))
    for item in own:
        assert item["metadata"]["namespace"] == NAMESPACE
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", item["metadata"]["name"])
        labels = item["metadata"]["labels"]
        assert {
            f"app.kubernetes.io/{key}" for key in ("name", "instance", "component", "part-of", "version", "managed-by")
        } <= set(labels)


def test_the_longest_names_still_fit():
    objects = render(values_of("minimal"), release="r" * 53).objects

    assert max(len(item["metadata"]["name"]) for item in objects) <= 63


@pytest.mark.parametrize("name", NAMES)
def test_selectors_select_the_pods_they_are_meant_for(name: str):
    objects = rendered(name)
    labels = {
        item["metadata"]["name"]: item["spec"]["template"]["metadata"]["labels"] for item in objects.of("Deployment")
    }
    for item in (*objects.of("Service"), *objects.of("PodDisruptionBudget"), *objects.of("PodMonitor")):
        selector = item["spec"]["selector"].get("matchLabels", item["spec"]["selector"])
        matched = [pod for pod, found in labels.items() if selector.items() <= found.items()]
        assert matched == [item["metadata"]["name"]]
    for item in objects.of("ServiceMonitor"):
        matched = [
            one
            for one in objects.of("Service")
            if item["spec"]["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        ]
        assert [one["metadata"]["name"] for one in matched] == [item["metadata"]["name"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_notes_say_what_it_is_for_and_what_untrained_means(name: str):
    notes = rendered(name).notes

    assert "FOR RESEARCH USE ONLY" in notes
    assert "UNTRAINED" in notes
    assert f"--namespace {NAMESPACE}" in notes


def test_rules_and_dashboards_arrive_as_they_are_in_monitoring():
    objects, files = rendered("monitoring"), CHART / "files"

    rules = [item["spec"] for item in objects.of("PrometheusRule")]
    assert sorted(json.dumps(rule, sort_keys=True) for rule in rules) == sorted(
        json.dumps(yaml.safe_load(path.read_text("utf-8")), sort_keys=True) for path in files.glob("rules/*.yaml")
    )
    dashboards = {name: text for item in objects.of("ConfigMap") for name, text in item["data"].items()}
    assert {name: json.loads(text) for name, text in dashboards.items()} == {
        path.name: json.loads(path.read_text("utf-8")) for path in files.glob("dashboards/*.json")
    }
    assert len(rules) >= 4
    assert len(dashboards) >= 3
    assert all(item["metadata"]["labels"]["grafana_dashboard"] == "1" for item in objects.of("ConfigMap"))


def test_a_digest_is_preferred_to_a_tag_and_the_mirror_to_every_registry():
    pods = rendered("oci").pods()

    containers = [item for pod in pods.values() for item in (*pod.get("initContainers", ()), *pod["containers"])]
    images = {item["name"]: item["image"] for item in containers}
    assert images["triton"] == f"mirror.example.org/radserve/triton@sha256:{'1' * 64}"
    assert images["repository"] == f"mirror.example.org/radserve/repository@sha256:{'0' * 64}"
    assert images["preproc"] == "mirror.example.org/radserve/service:0.1.0-site2"


def test_no_digest_is_invented():
    values = yaml.safe_load(text_of("values.yaml"))

    places = [values["repository"]["oci"], values["repository"]["s3"], values["triton"], values["preproc"]]
    assert [place["image"]["digest"] for place in places] == ["", "", "", ""]


def test_further_keys_reach_the_pods():
    objects = rendered("everything")

    for name in ("xray-triton", "xray-preproc"):
        template = objects.one("Deployment", name)["spec"]["template"]
        pod, (container,) = template["spec"], template["spec"]["containers"]
        assert template["metadata"]["labels"]["tier"] == "inference"
        assert template["metadata"]["annotations"] == {"example.org/owner": "it", "example.org/scrape": "no"}
        assert {"name": "TZ", "value": "Europe/Berlin"} in container["env"]
        assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
        assert {"name": "more", "emptyDir": {}} in pod["volumes"]
        assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("shared", "clinical")
        assert [item["topologyKey"] for item in pod["topologySpreadConstraints"]] == ["rack"]
    assert objects.of("ServiceAccount") == objects.of("PodDisruptionBudget") == []
    assert objects.one("ConfigMap", "xray-site")["data"] == {"site": "north"}


def test_pods_are_spread_over_nodes_and_zones_by_default():
    for pod in rendered("minimal").pods().values():
        spread = pod.get("topologySpreadConstraints", ())
        assert (
            pod["restartPolicy"] == "Never"
            if not spread
            else {item["topologyKey"] for item in spread}
            == {
                "kubernetes.io/hostname",
                "topology.kubernetes.io/zone",
            }
        )
