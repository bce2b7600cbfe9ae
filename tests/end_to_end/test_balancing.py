"""Replicas of Triton behind one name, under load and mutual TLS: found, balanced, and terminated without a loss.

What the chart renders for Triton and the service runs here as processes; a small DNS stands for the cluster's.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from radserve_triton.ports import settle_ports
from tests.certificates import authority
from tests.end_to_end.load import Load
from tests.end_to_end.triton_pods import Kit, TritonPod, make_kit, secret, service_name
from tests.helm.chart import environment, preproc, rendered
from tests.live_service import wait_for
from tests.mock_films import NORMAL
from tests.predicting import findings, post
from tests.service_process import ServiceProcess, running_service
from tests.small_dns import SmallDns

FIRST, SECOND, THIRD = "127.0.0.2", "127.0.0.3", "127.0.0.4"
NAME = service_name()
SHARE_S = 60.0
"""What is promised: a new replica has its share within a minute."""


@dataclass
class Cluster:
    """The pods by address, their DNS, and the service before them."""

    kit: Kit
    dns: SmallDns
    service: ServiceProcess
    pods: dict[str, TritonPod]
    stack: ExitStack

    def start(self, address: str) -> TritonPod:
        """A pod that starts; nobody knows it yet."""
        pod = self.pods[address] = TritonPod(self.kit, address)
        self.stack.callback(pod.close)
        return pod

    def publish(self, *addresses: str) -> None:
        """The endpoints of the headless Service, as DNS tells them."""
        self.dns.set(NAME, *addresses)

    def target(self) -> str:
        """Where gRPC clients find Triton."""
        return self.dns.target(NAME, self.kit.grpc_port)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything of these tests."""
    return tmp_path_factory.mktemp("balancing")


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A service that was started before its Triton; two pods that start."""
    ours = authority(folder / "authority")
    ca = ours.root.certificate
    server = ours.issue("triton", f"DNS:*.{NAME.partition('.')[2]}")
    client = ours.issue("service")
    ports = settle_ports(FIRST, {"grpc": 0, "http": 0, "metrics": 0})
    kit = make_kit(folder, secret(folder / "server", server.certificate, server.key, ca), tuple(ports.values()))
    mounted = secret(folder / "client", client.certificate, client.key, ca)
    with ExitStack() as stack:
        dns = stack.enter_context(SmallDns())
        pods: dict[str, TritonPod] = {}
        settings = charts_settings(mounted)
        address = dns.target(NAME, kit.grpc_port)
        running = partial(running_service, folder / "service", address, ready=False, **settings)
        service = stack.enter_context(running())
        cluster = Cluster(kit, dns, service, pods, stack)
        for each in (FIRST, SECOND):
            cluster.start(each)
        yield cluster


def charts_settings(tls: Path) -> dict[str, str]:
    """What the chart sets of TLS and balancing, with the Secret mounted at ``tls``."""
    wanted = ("TRITON_BALANCING", "TRITON_CA_FILE", "TRITON_CERT_FILE", "TRITON_KEY_FILE")
    given = environment(preproc(rendered("tls")))
    return {name: given[f"RADSERVE_{name}"].replace("/etc/radserve/tls", str(tls)) for name in wanted}


@pytest.fixture(scope="module")
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    """A client of the service, which is ready."""
    with httpx.Client(base_url=cluster.service.url, trust_env=False, timeout=60) as client:
        yield client


def wait_until_ready(http: httpx.Client, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not http.get("/readyz").is_success:
        assert time.monotonic() < deadline, http.get("/readyz", params={"verbose": ""}).text
        time.sleep(0.1)


def share(pods: list[TritonPod], load: Load) -> list[float]:
    """Which part of the next 60 studies each pod answers."""
    before = [pod.studies for pod in pods]
    load.wait_for(60)
    answered = [pod.studies - earlier for pod, earlier in zip(pods, before, strict=True)]
    return [count / sum(answered) for count in answered]


def test_a_triton_whose_name_appears_late_is_found(cluster: Cluster, http: httpx.Client) -> None:
    """When gRPC was told more than once that there is no such name; by itself it would ask ever more rarely."""
    for pod in cluster.pods.values():
        pod.wait_until_ready()
    wait_for(lambda: cluster.dns.asked[NAME] > 1, 30)
    assert http.get("/readyz").status_code == 503
    cluster.publish(FIRST, SECOND)
    wait_until_ready(http, 60)
    findings(post(http, NORMAL))


@pytest.mark.parametrize("who", ["no TLS", "no certificate", "our certificate"])
def test_triton_answers_only_who_has_a_certificate_of_ours(cluster: Cluster, folder: Path, who: str) -> None:
    ca, certificate, key = ((folder / "client" / name).read_bytes() for name in ("ca.crt", "tls.crt", "tls.key"))
    channel = {
        "no TLS": lambda target: grpc.insecure_channel(target),
        "no certificate": lambda target: grpc.secure_channel(target, grpc.ssl_channel_credentials(ca)),
        "our certificate": lambda target: grpc.secure_channel(
            target, grpc.ssl_channel_credentials(ca, key, certificate)
        ),
    }[who](cluster.target())
    with channel:
        live = partial(
            service_pb2_grpc.GRPCInferenceServiceStub(channel).ServerLive, service_pb2.ServerLiveRequest(), timeout=30
        )
        if who == "our certificate":
            assert live(wait_for_ready=True).live
        else:
            with pytest.raises(grpc.RpcError) as refused:
                live()
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_replicas_come_and_go_and_one_crashes_under_load_and_not_one_study_fails(
    cluster: Cluster, http: httpx.Client
) -> None:
    first, second = (cluster.pods[address] for address in (FIRST, SECOND))
    with ThreadPoolExecutor() as aside, Load(lambda: post(http, NORMAL, detect="never")) as load:
        assert min(share([first, second], load)) > 0.25, "one connection takes everything"

        third = cluster.start(THIRD)
        cluster.publish(SECOND)  # a pod that terminates leaves the endpoints when its preStop begins
        ended = aside.submit(first.terminate)
        third.wait_until_ready()
        assert ended.result() == 0
        load.wait_for(30)
        assert load.failures == []

        cluster.publish(SECOND, THIRD)
        published = time.monotonic()
        while min(share([second, third], load)) < 0.25:
            assert time.monotonic() - published < SHARE_S, "the new replica has not its share"

        second.crash()
        load.wait_for(60)
    assert load.failures == []
