"""The compose files start what the images hold, closed to the outside, with names that exist."""

from __future__ import annotations

import pytest

from radserve_preproc.settings import Settings
from tests.images.compose_rules import RESET, laid_over, problems, read
from tests.images.context import ROOT
from tests.images.tritonserver import ENTRYPOINT, flags

BASE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
CPU = (ROOT / "docker-compose.cpu.yml").read_text(encoding="utf-8")
FLAGS = flags(ENTRYPOINT.read_text(encoding="utf-8"))
SETTINGS = Settings()


def test_the_compose_file_has_no_problem():
    assert problems(read(BASE), FLAGS, SETTINGS) == []


def test_the_compose_file_without_a_gpu_has_no_problem():
    assert problems(laid_over(read(BASE), read(CPU)), FLAGS, SETTINGS) == []


def test_the_override_takes_the_gpu_away_and_nothing_else():
    base = read(BASE)
    (device,) = base["services"]["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert read(CPU) == {"services": {"triton": {"deploy": RESET}}}


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ("read_only: true\n  cap_drop", "read_only: false\n  cap_drop", "read_only is False"),
        ("cap_drop: [ALL]", "cap_drop: [NET_RAW]", "cap_drop is"),
        ("no-new-privileges:true", "seccomp:unconfined", "security_opt is"),
        ("/tmp:size=1g", "/var:size=1g", "service: no tmpfs"),
        ("    pids_limit: 256", "    user: root", "service: user is set"),
        ("    pids_limit: 256", "    ipc: host", "service: ipc is set"),
        ("dockerfile: preproc_service/Dockerfile", "dockerfile: preproc/Dockerfile", "does not exist"),
        ("127.0.0.1:${RADSERVE_PUBLISHED_PORT", "0.0.0.0:${RADSERVE_PUBLISHED_PORT", "service: publishes"),
        (":-8080}:8080", ":-8080}:8081", "its image exposes 8080"),
        ("    pids_limit: 1024", '    ports: ["127.0.0.1:8001:8001"]', "triton: publishes"),
        ("    internal: true", "    internal: false", "is not internal"),
        ("networks: [inference, published]", "networks: [inference, outside]", "is not declared"),
        ("condition: service_healthy", "condition: service_started", "does not wait"),
        ("stop_grace_period: 75s", "stop_grace_period: 60s", "not longer than --exit-timeout-secs"),
        ("stop_grace_period: 185s\n    depends", "stop_grace_period: 1m\n    depends", "not longer than drain"),
        ("http://127.0.0.1:8000/v2", "http://127.0.0.1:8080/v2", "does not ask port 8000"),
        ("target: /models", "target: /repository", "wanted /models"),
        ("read_only: true\n        bind", "read_only: false\n        bind", "read-only"),
        ("./.radserve/repository", "./model_repository", "make export writes to"),
        ("RADSERVE_TRITON_ADDRESS: triton:8001", "RADSERVE_TRITON_ADDRESS: triton:8000", "looks for Triton at"),
        ("      RADSERVE_TRITON_ADDRESS:", "      RADSERVE_TRITN: x\n      RADSERVE_TRITON_ADDRESS:", "is no setting"),
        ("prom/prometheus:v3.5.0", "prom/prometheus:latest", "names no release"),
        ("profiles: [monitoring]\n    image: grafana", "image: grafana", "starts without being asked for"),
        ('"127.0.0.1:9090:9090"', '"0.0.0.0:9090:9090"', "prometheus: publishes"),
        ("networks: [published]", "networks: [inference, published]", "grafana: can reach Triton"),
        (
            "      RADSERVE_TRITON_ADDRESS:",
            "      RADSERVE_PORT: '80'\n      RADSERVE_TRITON_ADDRESS:",
            "listens on 80",
        ),
    ],
)
def test_each_rule_sees_its_fault(was, becomes, problem):
    assert was in BASE
    changed = read(BASE.replace(was, becomes))
    assert any(problem in found for found in problems(changed, FLAGS, SETTINGS))


def test_an_override_of_a_service_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        laid_over(read(BASE), {"services": {"tritn": {"deploy": RESET}}})
