"""A command in, a process under guard out: its log is read, and its end leaves nothing behind (guard.py)."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from radserve_triton.guard import remove_traces
from radserve_triton.log import ServerLog
from radserve_triton.settings import Log

WAKE_S = 0.5
STOP_MARGIN_S = 30  # over the exit timeout: what the guard needs to unload and sweep


def scratch_folder(name: str) -> Path:
    """A new folder for the files of one server, readable by its user alone; the guard removes it."""
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


class GuardedProcess:
    """A started server. ``name`` prefixes its regions of shared memory, by which the guard finds what it left."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        scratch: Path,
        environment: Mapping[str, str],
        exit_timeout_s: int,
        log: Log,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self._exit_timeout_s = exit_timeout_s
        self._name, self._scratch = name, scratch
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-m", "radserve_triton.guard", str(exit_timeout_s), name, scratch, *command],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C in a terminal reaches only the launcher, which then stops in order
        )
        self._log = ServerLog(cast("IO[str]", self._guard.stdout), log, show)

    @property
    def id(self) -> int:
        """Process id of the guard, the parent of the server."""
        return self._guard.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._guard.poll() is not None

    def reason(self) -> str:
        """Wait for its end; why it came, in the process's own words, and how."""
        status = self._waited()
        self._log.join()
        how = signal.strsignal(status - 128) if status > 128 else f"status {status}"
        return f"{self._log.reason()} ({how})"

    def _waited(self) -> int:
        """The guard's exit status, once it has ended.

        A signal can come just before the wait begins, or to the thread that reads the log. Its handler then runs only
        when this thread wakes, which it never does if it waits without end (seen in one of four stops right at ready).
        """
        while True:
            try:
                return self._guard.wait(WAKE_S)
            except subprocess.TimeoutExpired:
                continue

    def forget_log(self) -> None:
        """From now on ``reason`` counts what the log says from here."""
        self._log.forget()

    def stop(self) -> None:
        """End it and all that belongs to it; what it is working on gets the exit timeout."""
        cast("IO[str]", self._guard.stdin).close()  # the guard's signal
        try:
            self._guard.wait(self._exit_timeout_s + STOP_MARGIN_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # the kernel then sends the server SIGTERM, as it asked for
            self._guard.wait()
        self._log.join()
        remove_traces(self._name, self._scratch)  # the guard has done so, unless it was killed itself
