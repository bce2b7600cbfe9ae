"""A real Prometheus before a real Triton and a real service, with the rules of monitoring/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_contract.spec import ModelKind
from radserve_preproc.score_reference import SCORE_EDGES, Distribution, Reference, as_document
from radserve_triton.server import TritonServer
from tests.conftest import free_port_settings
from tests.debian import debian_tool
from tests.mock_films import ABNORMAL, NORMAL
from tests.mock_repository import make_mock_repository
from tests.monitoring.prometheus_process import PrometheusProcess, running_prometheus, wait_until
from tests.monitoring.promql import metric_names
from tests.monitoring.rule_files import RULES, records, rules
from tests.monitoring.test_dashboards import DOCUMENTS, expressions
from tests.predicting import post
from tests.service_process import running_service

SLEEP_S = 0.02
"""How long each execution of a mock network takes."""
NOT_HERE = {
    "nv_gpu_utilization": "no GPU here",
    "nv_gpu_memory_used_bytes": "no GPU here",
    "nv_gpu_memory_total_bytes": "no GPU here",
    "radserve_certificate_expiry_timestamp_seconds": "no certificate here; tests/preproc_service/test_certificates.py",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager's own, where a cluster has it",
    "ALERTS": "Prometheus' own, while an alert is pending or fires",
}
"""Names that rules and dashboards read although nobody here exposes them, and why."""


@dataclass(frozen=True)
class Site:
    """All three, running."""

    prometheus: PrometheusProcess
    triton: TritonServer
    http: httpx.Client

    def is_ready(self) -> bool:
        """Ask the service, as a probe would; its metrics say what it answered last."""
        return self.http.get("/readyz").is_success


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Mock networks in the real ensembles, a reference for their scores; films have been answered, and one refused."""
    debian_tool("prometheus")  # before anything is started for it
    folder = tmp_path_factory.mktemp("prometheus")
    repository = make_mock_repository(folder / "repository", DEPLOYED, sleep_s=SLEEP_S)
    reference = _reference_of_mocks(folder / "reference.json")
    with (
        TritonServer(free_port_settings(repository)) as triton,
        running_service(folder / "service", triton.grpc_address, SCORE_REFERENCE=str(reference)) as service,
        httpx.Client(base_url=service.url, trust_env=False, timeout=60) as http,
    ):
        scraped = {"radserve-service": service.url, "radserve-triton": triton.metrics_url.removesuffix("/metrics")}
        targets = {job: url.removeprefix("http://") for job, url in scraped.items()}
        (folder / "prometheus").mkdir()
        with running_prometheus(folder / "prometheus", targets, RULES) as prometheus:
            running = Site(prometheus, triton, http)
            assert running.is_ready()
            _traffic(running)
            yield running


def _reference_of_mocks(path: Path) -> Path:
    """A reference that the mock networks' digests match; all studies in the lowest bin."""
    models = {spec.name: "0" * 64 for spec in DEPLOYED.models if spec.kind is not ModelKind.ENSEMBLE}
    shares = (1.0, *(0.0 for _ in SCORE_EDGES[1:]))
    reference = Reference("spine", "deployed", models, {"decision": Distribution(1000, shares)})
    path.write_text(json.dumps(as_document([reference], recorded_at="2026-01-01T00:00:00+00:00", days=28)))
    return path


def _traffic(site: Site) -> None:
    """Films before and after both are scraped: a counter that appears as 1 has not moved yet for Prometheus."""
    for priority in ("routine", "stat"):
        assert post(site.http, NORMAL, priority=priority).status_code == 200
    assert post(site.http, b"text").status_code == 415
    scraped = "sum(radserve_requests_total) >= 3 and sum(nv_inference_request_success) >= 0"
    wait_until(lambda: site.prometheus.query(scraped), "the first films are counted")
    for film in (NORMAL, ABNORMAL):
        assert post(site.http, film).status_code == 200
        assert post(site.http, film, priority="stat").status_code == 200


def test_every_name_in_rules_and_dashboards_exists(site: Site) -> None:
    shown = {name for document in DOCUMENTS.values() for expr in expressions(document) for name in metric_names(expr)}
    scraped = {name for rule in rules() for name in metric_names(rule.expr)} | shown
    scraped = {name for name in scraped if ":" not in name}
    wait_until(lambda: site.prometheus.query("namespace_model:nv_inference_request_success:rate5m > 0"), "a rate")
    assert scraped - site.prometheus.names() - set(NOT_HERE) == set()
    assert set(NOT_HERE) <= scraped, "it excuses a name that nobody reads"
    assert len(scraped) > 30


def test_every_rule_of_traffic_records_something_and_none_fails(site: Site) -> None:
    quiet = re.compile(r".*(psi24h)")  # wants 500 studies
    wanted = {rule.name for rule in records() if not quiet.fullmatch(rule.name)}
    wait_until(lambda: wanted <= site.prometheus.names(), f"{sorted(wanted - site.prometheus.names())} recorded")
    assert site.prometheus.rule_errors() == {}


def test_what_is_recorded_is_what_happened(site: Site) -> None:
    def value(expr: str) -> float:
        ((_, found),) = wait_until(lambda: site.prometheus.query(expr), expr)
        return found

    of = '{model="spine_resnet50"}'
    # rates of the first scrapes are extrapolated by as much as they span; the means come right as there are more
    assert value(f"namespace_model:nv_inference_compute_duration_seconds:mean5m{of} >= {0.8 * SLEEP_S}")
    assert value(f"namespace_model:nv_inference_batch_size:mean15m{of}") >= 1
    assert value(f"namespace_model:nv_inference_request_failure:ratio_rate15m{of}") == 0
    assert value('namespace_pipeline:radserve_requests_failed:ratio_rate5m{pipeline="spine"}') == 0
    assert value('namespace_pipeline_profile_priority:radserve_request_duration_seconds:mean5m{priority="stat"}') > 0
    assert site.prometheus.query('{__name__=~"namespace_model:nv_.*",model=~"spine|spine_classification"}') == []
    # of the mocks' scores, 0.1 and 0.9, none is in the lowest bin, where all of the reference is
    share = "namespace_pipeline_profile_finding_bin:radserve_score:share24h"
    assert value(f'{share}{{le="0.05"}}') == 0
    assert value(f'sum({share}{{le=~"0.1|0.15"}})') > 0
    assert value(f"sum({share})") == pytest.approx(1)
    assert value("radserve_score_reference_current") == 1


def test_alerts_fire_when_triton_stops_and_end_when_it_is_back(site: Site) -> None:
    of_triton, of_service = ("RadserveTargetDown", "radserve-triton"), ("RadserveNotReady", "radserve-service")
    wait_until(lambda: not {of_triton, of_service} & site.prometheus.firing(), "all is well")

    site.triton.stop()
    wait_until(lambda: not site.is_ready(), "the service is not ready")
    wait_until(lambda: {of_triton, of_service} <= site.prometheus.firing(), "both alerts fire")
    wait_until(lambda: site.prometheus.query('up{job="radserve-service"} == 1'), "the service itself is there")

    site.triton.start()
    wait_until(site.is_ready, "the service is ready again")
    wait_until(lambda: not {of_triton, of_service} & site.prometheus.firing(), "both alerts have ended")
