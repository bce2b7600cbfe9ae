"""Worker processes for the tests of the pool: they speak its protocol and do what an item's source says."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from radserve_client.score.errors import ServerRefuses
from radserve_client.score.outcome import Failed
from radserve_client.score.way import Broke, Busy, Gone
from radserve_client.score.worker_messages import Answer, Ready, Unusable, recipe

RAISED = {
    "busy": Busy(2.5),
    "gone": Gone("nobody there", code="TRITON_UNAVAILABLE", http_status=503),
    "broke": Broke("DEADLINE_EXCEEDED", "too slow", http_status=504, strained=True),
    "refuses": ServerRefuses("never"),
}


def main(pipe: Any, options: Any) -> None:
    """Answer each item at once with the worker's process id; "wait:FILE" once FILE is there; "kill..." never.

    "meet 3:FOLDER" is answered once three workers have one.
    """
    pipe.send(Ready())
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        pipe.send(Answer(task.number, _outcome(task.item.source)))


def killed_as_it_starts(pipe: Any, options: Any) -> None:
    sys.exit(3)


def unusable(pipe: Any, options: Any) -> None:
    pipe.send(Unusable("no profile of that name"))


def _outcome(source: str) -> Any:
    what, _, path = source.partition(":")
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "kill once" and not Path(path).exists():
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while what == "wait" and not Path(path).exists():
        time.sleep(0.01)
    if what.startswith("meet"):
        (Path(path) / str(os.getpid())).touch()
        while len(list(Path(path).iterdir())) < int(what.split()[1]):
            time.sleep(0.01)
    if what in RAISED:
        return recipe(RAISED[what])
    return Failed("ANSWERED", str(os.getpid()), transient=False)
