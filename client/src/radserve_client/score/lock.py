"""One run per output folder: a lock that the operating system lets go when its holder dies, however it dies."""

from __future__ import annotations

import errno
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from radserve_client.score.disk import HIDDEN, write_durably, writing
from radserve_client.score.errors import OutputLocked, UnwritableOutput

NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK}


class OutputLock:
    """Holds ``OUT/.radserve/lock`` from ``acquire`` to ``release``; ``holder.json`` beside it says who does."""

    def __init__(self, out: Path) -> None:
        self._out = out
        hidden = out / HIDDEN
        self._holder = hidden / "holder.json"
        # no soft lock where flock is missing: that one would outlive a killed run
        self._lock = FileLock(hidden / "lock", thread_local=False, fallback_to_soft=False, preserve_lock_file=True)

    def acquire(self) -> None:
        """Take the lock at once.

        Raises
        ------
        OutputLocked
            Another run has it; the message says which, as far as that is known.
        UnwritableOutput
            The folder cannot be made or written to, or its file system has no locks.
        """
        with writing(self._out):
            self._holder.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._lock.acquire(blocking=False)
            except Timeout:
                raise OutputLocked(self._refusal()) from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
                raise UnwritableOutput(
                    f"the file system of {self._out} has no locks (flock), so two runs could write there at once;"
                    " take an --out on another one"
                ) from None
            try:
                self._sign()
            except BaseException:
                self.release()
                raise

    def release(self) -> None:
        """Let the next run in. Nothing when it is not held."""
        self._lock.release()

    def _sign(self) -> None:
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"}
        write_durably(self._holder, json.dumps(holder).encode(), self._holder.with_suffix(".part"))

    def _refusal(self) -> str:
        return f"another run writes into {self._out}{self._who()}; wait for it, stop it, or take another --out"

    def _who(self) -> str:
        try:
            holder = json.loads(self._holder.read_bytes())
            return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
        except (OSError, ValueError, KeyError, TypeError):  # it has just started, or the file was tampered with
            return ""
