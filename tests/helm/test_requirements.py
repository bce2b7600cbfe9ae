"""Values that cannot work together are refused with a sentence that says what to do; each of requirements.yaml once."""

from __future__ import annotations

import re
from typing import Any

import helm_python as helm
import pytest

from tests.helm.chart import chart, render, rendered, text_of, with_changes

KEDA, S3, TLS, INGRESS = "keda", "s3", "cert-manager", "tls"
GIVEN = {"server": "a", "client": "b"}

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    # a values file, what is changed in it, pieces of what is said
    ("minimal", {"repository.source": ""}, "repository.source is not set"),
    ("minimal", {"repository.pvc.claimName": ""}, "name the claim"),
    ("mig", {"repository.oci.image.repository": ""}, "name the image"),
    ("mig", {"repository.oci.image.tag": ""}, "neither tag nor digest"),
    (S3, {"repository.s3.bucket": ""}, "name the bucket"),
    (S3, {"repository.s3.egressTo": []}, "the copy from the store would hang"),
    ("minimal", {"pipelines": ["spine", "knee"]}, "there is no knee; there are abdominal_trauma, covid_lung, head_ct"),
    ("mig", {"triton.mig.profile": ""}, "name the slice"),
    ("gpu", {"triton.gpu.memoryGiB": 24}, "is 24 and the models of the pipelines may take 30 GiB"),
    ("mig", {"triton.gpu.memoryGiB": 10}, "is 10 and the models of the pipelines may take 14 GiB"),
    ("minimal", {"triton.extraArgs": ["--model-control-mode=explicit"]}, "is not open to values"),
    ("minimal", {"triton.extraArgs": ["--http-address=0.0.0.0"]}, "is not open to values"),
    ("minimal", {"triton.extraArgs": ["--strict-readiness", "false"]}, "is not open to values"),
    ("minimal", {"triton.preStopSeconds": 62, "preproc.settings.seriesTimeoutS": 1}, "+ 30 = 63 s to leave a pod"),
    ("minimal", {"triton.preStopSeconds": 229}, "the longest request = 230 s"),
    ("minimal", {"preproc.settings.seriesTimeoutS": 176}, "the longest request = 236 s"),
    ("minimal", {"triton.terminationGracePeriodSeconds": 309}, "preStopSeconds + exitTimeoutSeconds + 15 are 310 s"),
    ("minimal", {"triton.exitTimeoutSeconds": 66}, "preStopSeconds + exitTimeoutSeconds + 15 are 316 s"),
    ("minimal", {"preproc.terminationGracePeriodSeconds": 199}, "and seriesTimeoutS + 15 are 200 s"),
    ("minimal", {"preproc.settings.drainS": 9}, "load balancers need 10 s"),
    ("minimal", {"preproc.settings.cpuThreads": 0}, "as many threads as the node has cores"),
    ("minimal", {"preproc.settings.uploadsHeldBytes": 600_000_000}, "is below seriesLimitBytes"),
    ("minimal", {"preproc.settings.uploadLimitBytes": 3_000_000_000}, "is below uploadLimitBytes"),
    ("minimal", {"preproc.settings.cpuThreads": 6}, "limits.memory is 8Gi: 0.3 GiB ... are 9.0 GiB"),
    ("minimal", {"preproc.resources.limits.memory": "6900Mi"}, "limits.memory is 6900Mi: 0.3 GiB ... are 6.8 GiB"),
    ("minimal", {"preproc.extraEnv": [{"name": "RADSERVE_QUEUE", "value": "1"}]}, "RADSERVE_QUEUE, which the chart"),
    ("minimal", {"preproc.extraEnv": [{"name": "RADSERVE_CPU_THREADS", "value": "1"}]}, "use preproc.settings"),
    ("minimal", {"preproc.extraEnv": [{"name": "RADSERVE_TRITON_ADDRESS", "value": "x"}]}, "which the chart sets"),
    ("minimal", {"triton.replicaCount": 3}, "3 Triton pods would not all have work: 2 service pods"),
    ("hpa", {"triton.autoscaling.maxReplicas": 7}, "7 Triton pods ... tritonBatches (3)"),
    (KEDA, {"triton.autoscaling.minReplicas": 3}, "triton.autoscaling.minReplicas is above maxReplicas"),
    (KEDA, {"preproc.autoscaling.minReplicas": 9}, "preproc.autoscaling.minReplicas is above maxReplicas"),
    (KEDA, {"autoscaling.prometheusAddress": ""}, "KEDA asks Prometheus; give its URL"),
    ("hpa", {"triton.autoscaling.minReplicas": 0}, "cannot come back from zero"),
    (KEDA, {"autoscaling.adapterRules": {"enabled": True}}, "is for the provider hpa"),
    (TLS, {"tls.existingSecret": GIVEN}, "tls.existingSecret and tls.certManager are both set"),
    (TLS, {"tls.certManager.issuerRef.name": ""}, "name the issuer that signs"),
    ("minimal", {"tls.enabled": True}, "and no certificates"),
    ("minimal", {"tls": {"enabled": True, "existingSecret": {"server": "a"}}}, "and no certificates"),
    (INGRESS, {"ingress.host": ""}, "ingress.host is empty"),
    (INGRESS, {"ingress.tls.existingSecret": ""}, "would travel in the clear"),
    (INGRESS, {"ingress.tls.certManager": {"issuer": "x"}}, "the certificate comes from one of them"),
    (INGRESS, {"networkPolicy.ingressController": []}, "the controller's pods would be turned away"),
]


def refusal(name: str, changes: dict[str, Any]) -> str:
    """What the chart says about a values file with changes; empty when it renders."""
    try:
        render(with_changes(name, changes))
    except helm.HelmError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "changes", "said"), REFUSED)
def test_values_that_cannot_work_together_are_refused(name: str, changes: dict[str, Any], said: str):
    chart().validate_schema(with_changes(name, changes))  # the schema alone would take them

    text = refusal(name, changes)
    assert [piece for piece in said.split(" ... ") if piece not in text] == [], text


def sentences() -> list[str]:
    """Every sentence of requirements.yaml, as a pattern of what it says."""
    found = re.findall(r'fail (?:\(printf )?"((?:[^"\\]|\\.)*)"', text_of("templates/requirements.yaml"))
    return [re.sub(r"%(?:\\\.\d)?[a-z]", ".+", re.escape(text.replace('\\"', '"'))) for text in found]


def test_every_sentence_is_tested():
    said = [refusal(name, changes) for name, changes, _ in REFUSED]

    assert len(sentences()) > 25
    assert [sentence for sentence in sentences() if not any(re.search(sentence, text) for text in said)] == []


def test_requirements_only_fail():
    assert "templates/requirements.yaml" not in "".join(item["kind"] for item in rendered("minimal").objects)
    texts = chart().render(with_changes("minimal", {}), name="radserve", namespace="imaging")
    assert texts["radserve/templates/requirements.yaml"].strip() == ""


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("minimal", {"triton.preStopSeconds": 230, "triton.terminationGracePeriodSeconds": 305}),
        ("minimal", {"preproc.terminationGracePeriodSeconds": 200}),
        ("minimal", {"preproc.settings.drainS": 10}),
        ("gpu", {"triton.gpu.memoryGiB": 30}),
        ("minimal", {"triton.replicaCount": 2}),
        ("minimal", {"preproc.resources": {"limits": {"memory": None}}}),
        ("minimal", {"preproc.extraEnv": [{"name": "RADSERVE_NEW_THING", "value": "1"}]}),
        ("minimal", {"pipelines": []}),
        ("s3", {"networkPolicy.enabled": False, "repository.s3.egressTo": []}),
    ],
)
def test_values_that_just_work_are_not_refused(name: str, changes: dict[str, Any]):
    assert refusal(name, changes) == ""


def test_the_default_values_want_nothing_but_the_repository():
    assert "repository.source is not set" in refusal("minimal", {"repository": {}})
    assert refusal("minimal", {}) == ""
