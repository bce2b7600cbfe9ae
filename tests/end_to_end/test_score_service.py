"""``radserve score`` over the real service: the answers of ``radserve predict``, whatever is killed meanwhile."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_devstack.ports import Ports
from radserve_devstack.stack import own_environment
from radserve_triton.server import TritonServer
from tests.conftest import free_port_settings
from tests.end_to_end.score_runs import RADSERVE, comparable, rows, scored, scoring
from tests.mock_films import ABNORMAL, NORMAL, SLOW
from tests.mock_repository import make_mock_repository
from tests.service_process import ServiceProcess, running_service

KILLS = 4
ANSWER = ("trained", "notices", "decision", "scores", "changes", "warnings", "risk")
"""Parts of an answer that stand in a row as they are."""


def predicted(url: str, files: Iterable[Path]) -> dict[str, Any]:
    """What ``radserve predict --json`` says of each file."""
    command: list[str | Path] = [RADSERVE, "predict", *files, "--json", "--quiet", "--url", url]
    done = subprocess.run(command, env=own_environment(), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["file"]: line for line in lines}


def test_a_row_says_what_predict_says(
    score_archive: Path, service: ServiceProcess, rows_by_service: dict[str, dict[str, Any]]
) -> None:
    assert len(rows_by_service) == 30
    assert sum(row["status"] == "ok" for row in rows_by_service.values()) == 26
    said = predicted(service.url, [*score_archive.glob("*.dcm"), *score_archive.glob("ward/0[0-3].dcm")])
    assert len(said) == 10
    for source in said:
        row = rows_by_service[source]
        if row["status"] == "failed":
            error = said[source]["error"]
            assert (row["error_code"], row["error_http_status"]) == (error["code"], error["http_status"])
            assert not row["transient"]
            continue
        findings = said[source]["findings"]
        assert {name: row[name] for name in ANSWER} == {name: findings[name] for name in ANSWER}
        assert row["detections"] == {name: findings["detections"][name] for name in row["detections"]}
        assert [model["digest"] for model in row["models"]] == [model["digest"] for model in findings["models"]]


def test_killed_at_random_moments_and_finished_nothing_is_lost_and_nothing_doubled(
    score_archive: Path, service: ServiceProcess, rows_by_service: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"moments drawn with seed {seed}")
    moments = random.Random(seed)
    out, options = tmp_path / "out", ("--url", service.url, "--metrics-port", "0", "--window", "4")
    for number in range(KILLS):
        after = moments.randrange(6) + (number == 0)
        with scoring(score_archive, out, *options) as run:
            run.until(lambda run=run, after=after: run.done() >= after or run.process.poll() is not None)  # type: ignore[misc]
            run.process.kill()
            run.end()
        assert rows(out).keys() <= rows_by_service.keys(), "half of a run is read as a result"
    assert comparable(scored(score_archive, out, *options, code=3)) == rows_by_service
    states = [run["state"] for run in json.loads((out / "run.json").read_text())["runs"]]
    assert "cut_off" in states
    assert states[-1] == "finished"


def test_a_triton_that_dies_half_way_and_comes_back_costs_no_item(tmp_path: Path) -> None:
    slow, quick = (
        make_mock_repository(tmp_path / name, DEPLOYED, sleep_s=0.0, slow_s=slow_s)
        for name, slow_s in (("slow", 5.0), ("quick", 0.0))
    )
    port = Ports().settled("127.0.0.1").triton_grpc
    source = tmp_path / "archive"
    source.mkdir()
    for number in range(40):
        content = (NORMAL, ABNORMAL)[number % 2] if number < 6 else SLOW
        (source / f"{number:03}.dcm").write_bytes(content)
    three_at_once = ("--in-flight-bytes", str(3 * len(SLOW) + 1))  # in order: four are through when a slow one comes
    with (
        TritonServer(free_port_settings(slow, grpc_port=port, exit_timeout_s=1)) as first,
        running_service(tmp_path / "service", f"127.0.0.1:{port}") as served,
        scoring(source, tmp_path / "out", "--url", served.url, "--metrics-port", "0", *three_at_once) as run,
    ):
        run.until(lambda: run.done() >= 4)
        first.stop()
        run.until(lambda: "waiting for the server" in run.said())
        assert run.done() < 40, "a minute's work was left in the Triton that died"
        with TritonServer(free_port_settings(quick, grpc_port=port)):
            assert run.end() == 0, run.said()
            assert "the server is there again" in run.said()
    found = rows(tmp_path / "out")
    assert len(found) == 40
    assert {row["status"] for row in found.values()} == {"ok"}
