"""Every pod keeps to the restricted standard, nobody reaches more than it needs, and TLS is mutual."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from tests.helm.chart import (
    NAMES,
    NAMESPACE,
    Object,
    Rendered,
    environment,
    flags,
    preproc,
    render,
    rendered,
    triton,
    with_changes,
)
from tests.helm.pod_security import violations
from tests.helm.reach import allowed, may_leave

GRPC, HTTP, METRICS, SERVICE = 8001, 8000, 8002, 8080
MONITORING = {"kubernetes.io/metadata.name": "monitoring"}
OTHER = {"kubernetes.io/metadata.name": "other"}


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_keeps_to_the_restricted_standard(name: str):
    pods = rendered(name).pods()

    assert len(pods) == 3
    assert {pod: violations(specification) for pod, specification in pods.items()} == {pod: [] for pod in pods}


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"hostNetwork": True}, "hostNetwork is set"),
    ({"automountServiceAccountToken": True}, "mounts a service account's token"),
    ({"enableServiceLinks": True}, "takes variables"),
    ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "volume host is a hostPath"),
    ({"securityContext": {"runAsUser": 1000}}, "has no seccomp profile"),
    ({"securityContext": {"runAsUser": 0, "runAsNonRoot": True}}, "runs as user 0"),
    ({"containers.0.securityContext.readOnlyRootFilesystem": False}, "can write to its root"),
    ({"containers.0.securityContext.capabilities": {"drop": ["NET_RAW"]}}, "keeps capabilities"),
    ({"containers.0.securityContext.capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}, "adds capabilities"),
    ({"containers.0.securityContext.allowPrivilegeEscalation": True}, "may gain privileges"),
    ({"containers.0.securityContext.privileged": True}, "is privileged"),
    ({"containers.0.securityContext.runAsNonRoot": False}, "runAsNonRoot is not true"),
    ({"initContainers.0.securityContext.readOnlyRootFilesystem": False}, "repository: can write"),
    ({"containers.0.volumeMounts": []}, "has no /tmp"),
    ({"containers.0.ports": [{"hostPort": 80}]}, "opens a port of the node"),
    ({"containers.0.resources": {}}, "has no requests"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS)
def test_each_rule_of_the_standard_sees_its_fault(change: dict[str, Any], said: str):
    pod = copy.deepcopy(rendered("minimal").pods()["Deployment/radserve-triton"])
    for key, value in change.items():
        *folders, last = key.split(".")
        place: Any = pod
        for folder in folders:
            place = place[int(folder)] if folder.isdigit() else place[folder]
        place[last] = value

    assert any(said in line for line in violations(pod))


@pytest.mark.parametrize("name", NAMES)
def test_no_service_account_has_a_token_or_a_right(name: str):
    objects = rendered(name)

    assert all(item["automountServiceAccountToken"] is False for item in objects.of("ServiceAccount"))
    assert [item["kind"] for item in objects.objects if "Role" in item["kind"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_makes_no_secret(name: str):
    assert rendered(name).of("Secret") == []


def labels(objects: Rendered, component: str) -> dict[str, str]:
    return objects.one("Deployment", f"radserve-{component}")["spec"]["template"]["metadata"]["labels"]


def test_only_the_service_reaches_triton_and_only_its_grpc():
    objects = rendered("minimal")
    service, server = labels(objects, "preproc"), labels(objects, "triton")

    assert allowed(objects, service, server, GRPC)
    assert not allowed(objects, {"app": "else"}, server, GRPC)
    assert not allowed(objects, service | {"app.kubernetes.io/instance": "second"}, server, GRPC)
    assert not allowed(objects, service, server, GRPC, namespace=OTHER)
    assert not allowed(objects, server, server, GRPC)


def test_nobody_reaches_tritons_http_by_policy_nor_by_address():
    objects = rendered("minimal")
    server = labels(objects, "triton")

    for source, namespace in ((labels(objects, "preproc"), None), ({}, None), ({}, MONITORING), ({}, OTHER)):
        assert not allowed(objects, source, server, HTTP, namespace=namespace)
    assert flags(triton(objects))["--http-address"] == "127.0.0.1"
    assert HTTP not in {port["containerPort"] for port in triton(objects)["ports"]}
    assert {port["port"] for port in objects.one("Service", "radserve-triton")["spec"]["ports"]} == {GRPC}


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_denied_first_and_triton_opens_two_ports(name: str):
    policies = {item["metadata"]["name"].partition("-")[2]: item["spec"] for item in rendered(name).of("NetworkPolicy")}

    denied = policies["default-deny"]
    assert set(denied) == {"podSelector", "policyTypes"}
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    pods = [item["spec"]["template"]["metadata"]["labels"] for item in rendered(name).of("Deployment")]
    assert all(denied["podSelector"]["matchLabels"].items() <= pod.items() for pod in pods)
    assert {port["port"] for rule in policies["triton"]["ingress"] for port in rule["ports"]} == {GRPC, METRICS}


def test_metrics_are_for_the_namespace_of_monitoring():
    objects = rendered("minimal")

    for component, port in (("triton", METRICS), ("preproc", SERVICE)):
        assert allowed(objects, {}, labels(objects, component), port, namespace=MONITORING)
        assert not allowed(objects, {}, labels(objects, component), port, namespace=OTHER)
    assert not allowed(objects, {}, labels(objects, "triton"), GRPC, namespace=MONITORING)


def test_the_service_takes_studies_from_its_namespace_and_the_ingress_controller():
    objects = rendered("tls")
    service = labels(objects, "preproc")

    assert allowed(objects, {"app": "else"}, service, SERVICE)
    assert allowed(objects, {}, service, SERVICE, namespace={"kubernetes.io/metadata.name": "haproxy-controller"})
    assert not allowed(objects, {}, service, SERVICE, namespace=OTHER)


def test_the_pod_of_helm_test_reaches_the_service_even_when_clients_are_others():
    objects = render(
        with_changes("minimal", {"networkPolicy.clients": [{"podSelector": {"matchLabels": {"pacs": "1"}}}]})
    )
    test = objects.one("Pod", "radserve-ready")["metadata"]["labels"]
    service = labels(objects, "preproc")

    assert allowed(objects, test, service, SERVICE)
    assert allowed(objects, {"pacs": "1"}, service, SERVICE)
    assert not allowed(objects, {"app": "else"}, service, SERVICE)
    assert not allowed(objects, test, labels(objects, "triton"), GRPC)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "everything"])
def test_no_pod_may_leave_the_cluster_but_for_the_store_it_copies_from(name: str):
    objects = rendered(name)
    port = {"s3": 9000, "s3-identity": 443}.get(name)

    left = [open_ for open_ in (53, 80, 443, 9000) if may_leave(objects, labels(objects, "triton"), open_)]
    assert left == ([53, port] if port else [])
    assert not may_leave(objects, labels(objects, "preproc"), 443)


def test_policies_can_be_left_out():
    assert render(with_changes("minimal", {"networkPolicy.enabled": False})).of("NetworkPolicy") == []


@pytest.mark.parametrize("name", ["tls", "cert-manager"])
def test_tls_between_service_and_triton_is_mutual(name: str):
    objects = rendered(name)

    given, variables = flags(triton(objects)), environment(preproc(objects))
    assert (given["--grpc-use-ssl"], given["--grpc-use-ssl-mutual"]) == ("true", "true")
    folder = "/etc/radserve/tls"
    assert (given["--grpc-server-cert"], given["--grpc-server-key"]) == (f"{folder}/tls.crt", f"{folder}/tls.key")
    assert given["--grpc-root-cert"] == variables["RADSERVE_TRITON_CA_FILE"] == f"{folder}/ca.crt"
    assert variables["RADSERVE_TRITON_CERT_FILE"] == f"{folder}/tls.crt"
    assert variables["RADSERVE_TRITON_KEY_FILE"] == f"{folder}/tls.key"
    for container in (triton(objects), preproc(objects)):
        assert {"name": "tls", "mountPath": folder, "readOnly": True} in container["volumeMounts"]


def secret_of(objects: Rendered, component: str) -> Object:
    pod = objects.pods()[f"Deployment/radserve-{component}"]
    (volume,) = [item for item in pod["volumes"] if item["name"] == "tls"]
    return volume["secret"]


def test_each_side_has_its_own_secret_which_its_group_alone_can_read():
    given, made = rendered("tls"), rendered("cert-manager")

    assert (secret_of(given, "triton")["secretName"], secret_of(given, "preproc")["secretName"]) == (
        "triton-tls",
        "service-tls",
    )
    for role, component in (("server", "triton"), ("client", "preproc")):
        certificate = made.one("Certificate", f"radserve-{role}")
        assert certificate["spec"]["secretName"] == secret_of(made, component)["secretName"]
        assert f"{role} auth" in certificate["spec"]["usages"]
        assert secret_of(made, component)["defaultMode"] == 0o440


def test_the_servers_certificate_is_for_the_name_that_the_service_calls_in_this_release_and_the_next():
    (certified,) = rendered("cert-manager").one("Certificate", "radserve-server")["spec"]["dnsNames"]
    later = render(with_changes("cert-manager", {"repository.pvc.subPath": "next"}))

    called = [environment(preproc(objects))["RADSERVE_TRITON_ADDRESS"] for objects in (rendered("cert-manager"), later)]
    names = [address.removeprefix("dns:///").removesuffix(":8001") for address in called]
    assert names[0] != names[1]
    assert {f"*.{name.partition('.')[2]}" for name in names} == {certified}
    assert certified == f"*.radserve-triton.{NAMESPACE}.svc.cluster.local"


def test_without_tls_neither_side_asks_for_it():
    objects = rendered("minimal")

    assert not [name for name in flags(triton(objects)) if "ssl" in name]
    assert not [name for name in environment(preproc(objects)) if "_FILE" in name]


@pytest.mark.parametrize("name", ["tls", "cert-manager"])
def test_the_ingress_is_encrypted_and_lets_in_v1_alone(name: str):
    ingress = rendered(name).one("Ingress", "radserve")

    (rule,) = ingress["spec"]["rules"]
    assert [(path["path"], path["pathType"]) for path in rule["http"]["paths"]] == [("/v1", "Prefix")]
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": "radserve-preproc", "port": {"name": "http"}}
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]] == ["radserve.example.org"]
    assert ingress["apiVersion"] == "networking.k8s.io/v1"
    secret, annotations = ingress["spec"]["tls"][0]["secretName"], ingress["metadata"].get("annotations", {})
    wanted = ("radserve-example-org", None) if name == "tls" else ("radserve-ingress-tls", "hospital-public")
    assert (secret, annotations.get("cert-manager.io/cluster-issuer")) == wanted


def test_the_reach_of_a_policy_is_judged_by_ports_and_peers():
    policy = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}, "kind": "NetworkPolicy"}
    closed = Rendered((policy,), "")
    opened = Rendered((yaml.safe_load(yaml.safe_dump(policy).replace("ingress: []", "ingress: [{}]")),), "")

    assert not allowed(closed, {}, {}, GRPC)
    assert allowed(opened, {}, {}, GRPC, namespace=OTHER)
