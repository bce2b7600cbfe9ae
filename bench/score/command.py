"""An archive and options in, ``radserve score`` as a process out; at its end, what its output holds."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from radserve_devstack.stack import Stack, own_environment

PIPELINE = "spine"
RADSERVE = (str(Path(sys.executable).with_name("radserve")),)
TAIL = 2000
LIMIT_S = 600.0
OK, INTERRUPTED = 0, 130


@dataclass(frozen=True, slots=True)
class Command:
    """A run that goes on. ``log`` is what it says; ``started`` is of ``time.monotonic``."""

    process: subprocess.Popen[bytes]
    log: Path
    started: float

    def check_alive(self) -> None:
        """RuntimeError with what it said when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"radserve score ended with {self.process.returncode}:\n{self._tail()}")

    def ended(self, wanted: int) -> None:
        """Wait for its end; RuntimeError with what it said when its exit code is another."""
        if self.process.wait(LIMIT_S) != wanted:
            raise RuntimeError(f"radserve score ended with {self.process.returncode}, not {wanted}:\n{self._tail()}")

    def interrupt(self) -> None:
        """Ctrl-C, and wait until everything that was scored is in the dataset."""
        self.process.send_signal(signal.SIGINT)
        self.ended(INTERRUPTED)

    def _tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-TAIL:]


def options_of(via: str, stack: Stack) -> tuple[str, ...]:
    """How the way ``via`` finds the servers of ``stack``."""
    if via == "service":
        return ("--via", via, "--url", stack.service_url)
    return ("--via", via, "--triton", stack.triton_address)


@contextmanager
def scoring(source: Path, out: Path, options: Sequence[str], program: Sequence[str] = RADSERVE) -> Iterator[Command]:
    """The command over ``source``; killed at the end of the block when it still runs."""
    log = out.with_suffix(".log")
    arguments = [*program, "score", str(source), "--pipeline", PIPELINE, "--out", str(out), *options]
    started = monotonic()
    with log.open("ab") as said:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=said, stderr=said, env=own_environment())
    try:
        yield Command(process, log, started)
    finally:
        process.kill()
        process.wait()


def last_run(out: Path) -> dict[str, Any]:
    """What run.json says of the last run into ``out``."""
    run: dict[str, Any] = json.loads((out / "run.json").read_text(encoding="utf-8"))["runs"][-1]
    return run


def pause(command: Command, seconds: float) -> None:
    """Let it run; RuntimeError when it ends meanwhile."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        command.check_alive()
        sleep(min(left, 0.5))
