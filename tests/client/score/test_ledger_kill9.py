"""A real process, killed with SIGKILL at moments nobody chose, again and again."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

from tests.client.score.outputs import rows

ITEMS = 500
KILLS = 5


def write(out: Path, seed: int, root: Path, lines: int | None) -> list[int]:
    """Run the writer, kill it after so many lines (None: never). The items that it said are durable."""
    told: list[int] = []
    command = [sys.executable, "-m", "tests.client.score.ledger_writer", str(out), str(ITEMS), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as writer:
        try:
            assert writer.stdout is not None
            for count, line in enumerate(writer.stdout, 1):
                told += json.loads(line)
                if count == lines:
                    break
        finally:
            if lines is not None:
                writer.kill()  # somewhere in what comes after that line
        told += [number for line in writer.stdout if line.endswith("]\n") for number in json.loads(line)]
    assert lines is not None or writer.returncode == 0
    return told


def test_what_was_said_to_be_durable_is_there_once_after_five_kills(tmp_path: Path, project_root: Path) -> None:
    chosen = random.Random(20260101)
    told: list[int] = []
    for seed in range(KILLS):
        told += write(tmp_path, seed, project_root, chosen.randint(3, 14))
        assert len(set(told)) == len(told)  # what is durable is not done again
        rows(tmp_path)  # parts are whole at any time, and have no key twice
    assert told
    told += write(tmp_path, KILLS, project_root, None)
    assert len(set(told)) == len(told)
    found = {row["source"]: row["status"] for row in rows(tmp_path)}
    assert found == {f"/archive/{number}.dcm": "ok" if number % 5 else "failed" for number in range(ITEMS)}
