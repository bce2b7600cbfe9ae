"""The `monitoring` profile of the compose file: Prometheus and Grafana find what they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images.context import ROOT
from tests.images.dockerfile import parse
from tests.images.tritonserver import ENTRYPOINT, flags
from tests.monitoring.promtool import promtool
from tests.monitoring.rule_files import DASHBOARDS, RULES, alerts, read

COMPOSE: dict[str, Any] = read(ROOT / "docker-compose.yml")["services"]
CONFIG = ROOT / "monitoring" / "prometheus.yml"
PROVISIONING = ROOT / "monitoring" / "grafana" / "provisioning"
WATCHERS = ("prometheus", "grafana")


def mounts(name: str) -> dict[str, dict[str, Any]]:
    """The bind mounts of a service, by where they are seen inside."""
    return {volume["target"]: volume for volume in COMPOSE[name]["volumes"] if volume["type"] == "bind"}


@pytest.mark.parametrize("name", WATCHERS)
def test_what_is_mounted_exists_and_is_read_only(name: str) -> None:
    assert mounts(name)
    for target, volume in mounts(name).items():
        assert (ROOT / volume["source"]).exists(), target
        assert volume["read_only"] is True


@pytest.mark.parametrize("name", WATCHERS)
def test_they_start_only_when_asked_for(name: str) -> None:
    assert COMPOSE[name]["profiles"] == ["monitoring"]
    assert {"service", "triton"}.isdisjoint(COMPOSE[name].get("depends_on", {})), "they watch, they do not decide"


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    text = CONFIG.read_text().replace("/etc/prometheus/rules", str(RULES[0].parent))
    (tmp_path / "prometheus.yml").write_text(text)
    done = promtool(["check", "config", tmp_path / "prometheus.yml"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout


def test_the_rules_lie_where_the_configuration_looks() -> None:
    (pattern,) = read(CONFIG)["rule_files"]
    folder = mounts("prometheus")[str(Path(pattern).parent)]["source"]
    assert sorted((ROOT / folder).glob(Path(pattern).name)) == RULES
    assert mounts("prometheus")["/etc/prometheus/prometheus.yml"]["source"] == "./monitoring/prometheus.yml"
    assert "--config.file=/etc/prometheus/prometheus.yml" in COMPOSE["prometheus"]["command"]


def test_jobs_are_called_what_the_rules_ask_for_and_look_at_the_right_ports() -> None:
    port = parse((ROOT / "preproc_service" / "Dockerfile").read_text()).final.last("EXPOSE").value
    triton = flags(ENTRYPOINT.read_text())["--metrics-port"]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in read(CONFIG)["scrape_configs"]}
    assert jobs == {"radserve-service": [f"service:{port}"], "radserve-triton": [f"triton:{triton}"]}
    (down,) = (rule.expr for rule in alerts() if rule.name == "RadserveTargetDown")
    assert 'job=~"radserve-(service|triton)"' in down


def test_prometheus_keeps_what_a_reference_is_recorded_of() -> None:
    (kept,) = (flag.split("=")[1] for flag in COMPOSE["prometheus"]["command"] if "retention.time" in flag)
    page = (ROOT / "docs" / "runbooks" / "RadserveScoreDrift.md").read_text()
    days = int(page.split("--days ")[1].split()[0])
    assert int(kept.removesuffix("d")) > days


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    (source,) = read(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert set(COMPOSE["grafana"]["networks"]) & set(COMPOSE["prometheus"]["networks"])
    (provider,) = read(PROVISIONING / "dashboards" / "radserve.yaml")["providers"]
    folder = mounts("grafana")[provider["options"]["path"]]["source"]
    assert sorted((ROOT / folder).glob("*.json")) == DASHBOARDS
    assert all(json.loads(path.read_text())["uid"] for path in DASHBOARDS)


def test_grafana_has_no_password_and_asks_nobody_outside() -> None:
    settings = COMPOSE["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    outside = [name for name in settings if "ANALYTICS" in name or "NEWS" in name]
    assert {settings[name] for name in outside} == {"false"}
    assert len(outside) == 4
    assert "PASSWORD" not in yaml.safe_dump(settings)
