"""A worker process: items through a pipe in, outcomes through the pipe out.

It holds nothing that its end could damage: no file, no lock, no answer but those that are under way. So it ends at once
when the command has gone, however that went (the pipe is closed), and may be killed at any time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from radserve_client.score.errors import RunError
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.way import Broke, Busy, Content, Gone, Way
from radserve_client.score.worker_messages import Answer, Ready, Task, Unusable, recipe

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0


def main(pipe: Connection, options: ScorerOptions) -> None:
    """The process, until the other end of ``pipe`` is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the command decides what ends
    quiet_log()
    asyncio.run(_work(pipe, options))


def quiet_log() -> None:
    """Only our own words reach stderr: libraries put what they read, a patient's name perhaps, into theirs."""
    from radserve_preproc.quiet import silence_libraries

    silence_libraries()
    warnings.simplefilter("ignore")
    logging.basicConfig(handlers=[logging.NullHandler()], force=True)
    ours = logging.getLogger("radserve_client")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("radserve: worker %(process)d: %(message)s"))
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.WARNING)


async def score_item(way: Way, item: Item, *, patience_s: float) -> Scored | Failed:
    """Read an item and score it; raises as ``Way.score`` does. An archive that is away is waited for so long."""
    content = await _read(way, item, patience_s)
    return content if isinstance(content, Failed) else await way.score(item, content)


async def _read(way: Way, item: Item, patience_s: float) -> Content | Failed:
    pause_s, waited_s = FIRST_PAUSE_S, 0.0
    while True:
        try:
            return await way.read(item)
        except Gone as gone:
            if waited_s >= patience_s:
                return Failed(gone.code, gone.message, transient=True, http_status=gone.http_status)
        await asyncio.sleep(pause_s)
        waited_s += pause_s
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)


async def _work(pipe: Connection, options: ScorerOptions) -> None:
    from radserve_client.score.scorer import Scorer  # the decoders: large, and wanted here only

    try:
        scorer = Scorer(options)
    except RunError as error:
        pipe.send(Unusable(error.message))
        return
    loop = asyncio.get_running_loop()
    tasks: asyncio.Queue[Task] = asyncio.Queue()
    threading.Thread(target=_listen, args=(pipe, loop, tasks), daemon=True, name="tasks").start()
    outbox = ThreadPoolExecutor(1, "answers")  # one at a time: answers must not mix in the pipe
    outbox.submit(_send, pipe, Ready())
    under_way: set[asyncio.Task[None]] = set()
    while True:
        task = await tasks.get()
        working = asyncio.create_task(_answer(task, scorer, options.patience_s, pipe, outbox))
        under_way.add(working)
        working.add_done_callback(under_way.discard)


def _listen(pipe: Connection, loop: asyncio.AbstractEventLoop, tasks: asyncio.Queue[Task]) -> None:
    """A thread: what comes through the pipe goes to the event loop."""
    while True:
        try:
            task = pipe.recv()
        except (EOFError, OSError):
            _leave()
        loop.call_soon_threadsafe(tasks.put_nowait, task)


async def _answer(task: Task, way: Way, patience_s: float, pipe: Connection, outbox: ThreadPoolExecutor) -> None:
    try:
        outcome: Any = await score_item(way, task.item, patience_s=patience_s)
    except (Busy, Gone, Broke, RunError) as error:
        outcome = recipe(error)
    except Exception as error:  # a defect: somebody waits for an answer all the same
        log.exception("unexpected error")
        outcome = recipe(Broke("WORKER_ERROR", f"an unexpected error in the worker: {type(error).__name__}"))
    outbox.submit(_send, pipe, Answer(task.number, outcome))


def _send(pipe: Connection, message: Ready | Answer) -> None:
    try:
        pipe.send(message)
    except OSError:
        _leave()


def _leave() -> NoReturn:
    """Nobody is left to hear: end now, whatever the threads do."""
    os._exit(0)
