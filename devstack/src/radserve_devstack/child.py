"""A command in, a child process out that ends with its parent, whatever ends the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from radserve_devstack.errors import StackError

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
TAIL_LINES = 25
_libc = ctypes.CDLL(None)  # loaded here: the forked child must not allocate


@dataclass(frozen=True, slots=True)
class Child:
    """A running server; everything it prints goes to ``log``."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]

    def check_alive(self) -> None:
        """Raise StackError with the end of the log when the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise StackError(f"{self.name} ended with exit status {code}\n{self.tail()}")

    def tail(self) -> str:
        """The last lines of the log, indented, under its path."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join([f"last lines of {self.log}:", *(f"  {line}" for line in lines or ["(it printed nothing)"])])

    def stop(self, timeout_s: float) -> None:
        """Ask it to end; after ``timeout_s`` end it and everything it started. Returns when it is gone."""
        self.process.terminate()
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def command(name: str) -> Path:
    """The script ``name`` of the virtual environment that runs this program.

    Raises
    ------
    StackError
        It is not there.
    """
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise StackError(f"{path} is missing; `make install` puts it there")
    return path


def start(name: str, arguments: Sequence[str], *, environ: Mapping[str, str], log: Path) -> Child:
    """Start ``name`` in a session of its own: Ctrl-C reaches only the parent, which stops its children in order."""
    parent = os.getpid()

    def end_with_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before prctl
            os._exit(1)

    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(command(name)), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    return Child(name, log, process)
