"""A repository in, ``radserve-triton serve`` as a child process out, and what is left of it on the machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.served_repository import ROOT

COMMAND = Path(sys.executable).with_name("radserve-triton")
SHARED_MEMORY = Path("/dev/shm")
START_S = 120


class Launcher:
    """The running command. Standard output is read up to ``ready:``; what follows comes from ``finish``."""

    def __init__(self, repository: Path, *options: str | Path, wait_ready: bool = True, **settings: str) -> None:
        ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
        runtime = ("--runtime", ROOT / ".venv-triton")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
        self.repository = repository
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--repository", repository, *runtime, *ports, *options],
            env=environment | {"RADSERVE_SERVER_EXIT_TIMEOUT_S": "2"} | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.output: list[str] = []
        if wait_ready:
            self.read_until("ready:")

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.communicate(timeout=START_S)

    def stop(self, number: signal.Signals) -> tuple[int, str]:
        """Send the signal; exit status and standard error."""
        self.process.send_signal(number)
        return self.finish()

    def finish(self) -> tuple[int, str]:
        """Wait for the end; exit status and standard error."""
        output, errors = self.process.communicate(timeout=START_S)
        self.output += output.splitlines()
        return self.process.returncode, errors

    def server_name(self) -> str:
        """The name under which this server keeps its processes, memory and files."""
        commands = processes(str(self.repository)).values()
        (name,) = {word.removeprefix("--id=") for command in commands for word in command if word.startswith("--id=")}
        return name

    def read_until(self, word: str) -> None:
        """Wait for a line with that word on standard output."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line.rstrip("\n"))
            if word in line:
                return
        raise AssertionError(f"it ended before it said {word}: {self.finish()}")


def processes(word: str) -> dict[int, list[str]]:
    """Command lines, by process id, of the running processes that have ``word`` in them; not of a launcher."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # it has just ended
            continue
        if any(word in argument for argument in arguments) and str(COMMAND) not in arguments:
            found[int(path.parent.name)] = arguments
    return found


def left_behind(name: str) -> list[str]:
    """Processes, regions of shared memory and files of the server of that name."""
    files = [*SHARED_MEMORY.glob(f"{name}*"), *Path(tempfile.gettempdir()).glob(f"{name}*")]
    return [*(" ".join(command) for command in processes(name).values()), *map(str, files)]


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 120) -> None:
    """Until the condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
