"""One worker process as the command sees it: tasks in, messages out, and word when it has ended."""

from __future__ import annotations

import asyncio
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.worker import main
from radserve_client.score.worker_messages import Task

Main = Callable[[Any, ScorerOptions], None]
STOP_S = 10.0


class WorkerProcess:
    """A spawned process, never a forked one: gRPC and threads do not survive a fork.

    ``told`` and ``ended`` are called on the event loop that made it, with this worker; ``ended`` once, at the very end.
    """

    def __init__(
        self,
        options: ScorerOptions,
        *,
        told: Callable[[WorkerProcess, Any], None],
        ended: Callable[[WorkerProcess], None],
        target: Main = main,
    ) -> None:
        self._told = told
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        name = f"radserve-worker-{options.number}"
        self._process = context.Process(target=target, args=(theirs, options), name=name, daemon=True)
        self._process.start()
        theirs.close()  # the worker's copy is the only one left: its end closes the pipe
        self._outbox: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=work, name=f"{name}-{what}", daemon=True)
            for what, work in (("tasks", self._send), ("answers", self._receive))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid or 0

    def give(self, task: Task) -> None:
        """Send a task. One that no longer gets there comes back through ``ended``: the pool knows what it gave."""
        self._outbox.put(task)

    def how_it_ended(self) -> str:
        """Its end in words."""
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"{name}; out of memory?" if code == -signal.SIGKILL else name

    def kill(self) -> None:
        """End it now. There is nothing in it that could be damaged."""
        self._process.kill()

    def join(self) -> None:
        """Wait until process and threads have ended; call it after ``kill`` or when it has ended."""
        for thread in self._threads:
            thread.join(STOP_S)
        if not any(thread.is_alive() for thread in self._threads):
            self._pipe.close()
            self._process.close()

    def _send(self) -> None:
        """A thread: a series of a thousand files is more than a pipe holds, and must not stop the event loop."""
        while (task := self._outbox.get()) is not None:
            try:
                self._pipe.send(task)
            except OSError:
                return

    def _receive(self) -> None:
        """A thread: messages until the pipe is closed. It alone waits for the process: two would take its exit code."""
        try:
            with suppress(EOFError, OSError):
                while True:
                    self._tell(self._told, self._pipe.recv())
        finally:
            self._outbox.put(None)
            self._process.join(STOP_S)  # the pipe closes before the process has quite ended
            self._process.kill()
            self._process.join()
            self._tell(self._ended)

    def _tell(self, function: Callable[..., None], *message: Any) -> None:
        with suppress(RuntimeError):  # the event loop has ended
            self._loop.call_soon_threadsafe(function, self, *message)
