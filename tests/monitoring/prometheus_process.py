"""Targets and rules in, a real Prometheus (Debian's) out that looks every two seconds; no alert waits for long."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.debian import debian_tool

DEADLINE_S = 120.0
"""For whatever is waited for: generous, since other tests may have the cores."""
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class PrometheusProcess:
    """A running Prometheus."""

    url: str

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample, as of now."""
        response = self._get("query", query=expr)
        return [(found["metric"], float(found["value"][1])) for found in response["result"]]

    def names(self) -> set[str]:
        """Every metric it knows, recorded ones too."""
        return set(self._get("label/__name__/values"))

    def firing(self) -> set[tuple[str, str]]:
        """Name and job of each alert that fires now."""
        alerts = self._get("alerts")["alerts"]
        return {
            (alert["labels"]["alertname"], alert["labels"].get("job", ""))
            for alert in alerts
            if alert["state"] == "firing"
        }

    def rule_errors(self) -> dict[str, str]:
        """What went wrong when rules were last evaluated, by rule."""
        groups = self._get("rules")["groups"]
        return {rule["name"]: rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")}

    def _get(self, path: str, **query: str) -> Any:
        response = httpx.get(f"{self.url}/api/v1/{path}", params=query, trust_env=False, timeout=30)
        assert response.is_success, response.text
        return response.json()["data"]


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer of ``condition``; fails when there is none in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not in {DEADLINE_S:.0f} s: {what}"
        time.sleep(0.2)
    return answer


@contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, str], rule_files: Sequence[Path]
) -> Iterator[PrometheusProcess]:
    """Prometheus until the block ends. ``targets`` are ``host:port`` by job; ``folder`` is empty and its own."""
    config = {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"},
        "rule_files": [str(_hurried(path, folder)) for path in rule_files],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = _free_port()
    command = [debian_tool("prometheus"), f"--config.file={folder / 'prometheus.yml'}", "--log.level=warn"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_end_with_parent)
    try:
        wait_until(lambda: _is_up(process, port, folder / "log"), "Prometheus answers")
        yield PrometheusProcess(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _hurried(path: Path, folder: Path) -> Path:
    """The same rules, evaluated every second; alerts fire after a second."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for group in content["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    copy = folder / path.name
    copy.write_text(yaml.safe_dump(content, sort_keys=False))
    return copy


def _is_up(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _end_with_parent() -> None:
    _libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
