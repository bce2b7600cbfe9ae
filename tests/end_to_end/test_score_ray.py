"""``radserve score --engine ray`` on a real local cluster of several worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from radserve_triton.server import TritonServer
from tests.end_to_end.score_runs import comparable, rows, scoring

ACTOR = "ray::"
"""Ray gives its processes such titles: ``ray::MapWorker(MapBatches(RayWorker))``."""


def test_the_rows_are_those_of_the_service_although_an_actor_is_killed(
    score_archive: Path, rows_by_service: Any, triton_server: TritonServer, tmp_path: Path
) -> None:
    options = ("--engine", "ray", "--via", "triton", "--triton", triton_server.grpc_address, "--workers", "2")
    with scoring(score_archive, tmp_path / "out", *options, "--metrics-port", "0") as run:
        run.until(lambda: run.done() >= 1)
        actors = run.descendants(f"{ACTOR}MapWorker")
        os.kill(actors[0], signal.SIGKILL)
        done = run.done()
        assert run.end() == 3, run.said()
    assert 1 <= done < 30, "it was killed in the middle"
    found = rows(tmp_path / "out")
    assert len(found) == 30
    assert comparable(found) == rows_by_service
    assert "Traceback" not in run.said()
