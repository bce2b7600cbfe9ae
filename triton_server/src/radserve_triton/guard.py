"""A server's command in, its exit status out; whatever becomes of the launcher, nothing of the server stays behind.

``python -m radserve_triton.guard EXIT_TIMEOUT_S SHM_PREFIX SCRATCH_FOLDER COMMAND...`` is the process between launcher
and tritonserver. The launcher holds the other end of its standard input: end of file means that the launcher wants the
server gone, or is gone itself, even by ``kill -9``. Then tritonserver gets SIGTERM and its exit timeout, and what is
left of it SIGKILL, its Python stubs too; its shared memory and scratch folder are removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 -- where the C library keeps POSIX shared memory, not a temporary file
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
UNLOAD_S = 10  # tritonserver's own timeout counts requests in flight; unloading comes after


def main(arguments: list[str]) -> int:
    """Run the command until it ends or standard input closes; return its status as a shell would."""
    exit_timeout_s, prefix, scratch, *command = arguments
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # the launcher decides; unlike SIG_IGN this is not inherited
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # stubs whose server has crashed become ours to wait for
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=die_with_parent)
    try:
        status = supervise(server, float(exit_timeout_s))
    finally:
        end_group(server.pid)
        remove_traces(prefix, Path(scratch))
    return status if status >= 0 else 128 - status


def supervise(server: subprocess.Popen[bytes], exit_timeout_s: float) -> int:
    """Wait for the server's end, or bring it about once standard input closes; its status, negative for a signal."""
    if not ended(server, wait_s=None, watch_input=True):
        server.terminate()
        if not ended(server, wait_s=exit_timeout_s + UNLOAD_S, watch_input=False):
            server.kill()
    return server.wait()


def ended(server: subprocess.Popen[bytes], *, wait_s: float | None, watch_input: bool) -> bool:
    """Wait until the server ends (True), or the time or our standard input does (False)."""
    handle = os.pidfd_open(server.pid)
    try:
        watched = [handle, sys.stdin.fileno()] if watch_input else [handle]
        ready, _, _ = select.select(watched, [], [], wait_s)
    finally:
        os.close(handle)
    return handle in ready


def end_group(group: int) -> None:
    """End every process that is left in the server's group."""
    deadline = time.monotonic() + UNLOAD_S
    while left(group) and time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        time.sleep(0.01)


def remove_traces(prefix: str, scratch: Path) -> None:
    """Remove what a server that is gone kept in memory and on disk."""
    for region in SHARED_MEMORY.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)
    shutil.rmtree(scratch, ignore_errors=True)


def left(group: int) -> bool:
    """Whether a child of ours in the group still runs; those that have ended are reaped."""
    try:
        while os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG) is not None:
            pass
    except ChildProcessError:
        return False
    return True


def die_with_parent() -> None:
    """Last resort, in the server's process before it starts: SIGTERM should this guard be killed."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def prctl(option: int, value: int) -> None:
    """Linux prctl(2)."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
