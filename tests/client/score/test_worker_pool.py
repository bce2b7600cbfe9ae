"""Worker processes that die, that cannot start, that raise: what becomes of their items. The processes are real."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from radserve_client.score.errors import RunError, ServerRefuses, WrongUse
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed
from radserve_client.score.read import Access
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.way import Ask, Broke, Busy, Gone
from radserve_client.score.worker_pool import WorkerPool
from tests.client.score import fake_workers

OPTIONS = ScorerOptions(Ask("spine"), Access(), ("127.0.0.1:1",), threads=1)
LONG_S = 300.0


def item(source: str, parts: int = 1) -> Item:
    return Item(source, "", tuple(FilePart(f"/archive/{number:060}") for number in range(parts)), 1)


def in_pool(workers: int, work: Callable[[WorkerPool], Awaitable[Any]], target: Any = fake_workers.main) -> Any:
    """What ``work`` answers; the pool is closed after it."""

    async def run() -> Any:
        pool = WorkerPool(OPTIONS, workers, target=target)
        async with asyncio.timeout(LONG_S), aclosing(_Closing(pool)):
            return await work(pool)

    return asyncio.run(run())


class _Closing:
    def __init__(self, pool: WorkerPool) -> None:
        self.aclose = pool.close


def scored(*sources: str) -> Callable[[WorkerPool], Awaitable[list[Any]]]:
    async def work(pool: WorkerPool) -> list[Any]:
        return await asyncio.gather(*(pool.score(item(source)) for source in sources), return_exceptions=True)

    return work


def codes(outcomes: list[Any]) -> list[str]:
    return [outcome.code for outcome in outcomes]


def test_every_item_gets_its_answer() -> None:
    assert codes(in_pool(2, scored(*map(str, range(40))))) == ["ANSWERED"] * 40


def test_all_workers_take_part_however_late_one_is_ready(tmp_path: Path) -> None:
    outcomes = in_pool(3, scored(*[f"meet 3:{tmp_path}"] * 3))
    assert len({outcome.message for outcome in outcomes}) == 3


def test_an_item_that_kills_its_worker_twice_fails_and_takes_no_other_with_it() -> None:
    outcomes = in_pool(2, scored("1", "kill", *map(str, range(2, 20))))
    assert codes(outcomes) == ["ANSWERED", "WORKER_DIED", *["ANSWERED"] * 18]
    dead = outcomes[1]
    assert not dead.transient
    assert "2 times" in dead.message
    assert "SIGKILL; out of memory?" in dead.message


def test_with_one_worker_alone_the_others_are_answered_too() -> None:
    assert codes(in_pool(1, scored("kill", "a", "b", "kill", "c"))) == [
        "WORKER_DIED", "ANSWERED", "ANSWERED", "WORKER_DIED", "ANSWERED",
    ]  # fmt: skip


def test_an_item_whose_worker_dies_once_is_answered_by_the_next(tmp_path: Path) -> None:
    assert codes(in_pool(1, scored(f"kill once:{tmp_path / 'died'}", "a"))) == ["ANSWERED", "ANSWERED"]


def test_a_worker_killed_from_outside_loses_nothing(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"

    async def work(pool: WorkerPool) -> tuple[list[Any], set[int], set[int]]:
        scoring = asyncio.gather(*(pool.score(item(source)) for source in [f"wait:{go_on}"] * 4))
        warm = await pool.score(item("warm"))
        before = set(pool.pids)
        assert isinstance(warm, Failed)
        os.kill(int(warm.message), signal.SIGKILL)
        while set(pool.pids) == before:  # noqa: ASYNC110  # the pool tells nobody
            await asyncio.sleep(0.01)
        go_on.touch()
        return await scoring, before, set(pool.pids)

    outcomes, before, after = in_pool(2, work)
    assert codes(outcomes) == ["ANSWERED"] * 4
    assert len(before & after) == 1
    assert len(after) == 2


def test_what_a_worker_raises_is_raised_here_with_all_it_says() -> None:
    busy, gone, broke, refuses = in_pool(1, scored("busy", "gone", "broke", "refuses"))
    assert isinstance(busy, Busy)
    assert busy.retry_after_s == 2.5
    assert isinstance(gone, Gone)
    assert (gone.message, gone.code, gone.http_status) == ("nobody there", "TRITON_UNAVAILABLE", 503)
    assert isinstance(broke, Broke)
    assert (broke.code, broke.message, broke.http_status, broke.strained) == (
        "DEADLINE_EXCEEDED",
        "too slow",
        504,
        True,
    )
    assert isinstance(refuses, ServerRefuses)
    assert refuses.message == "never"


def test_workers_that_end_as_they_start_end_the_run_and_say_how() -> None:
    outcomes = in_pool(2, scored("a", "b"), target=fake_workers.killed_as_it_starts)
    assert [type(outcome) for outcome in outcomes] == [RunError, RunError]
    assert "exit code 3" in outcomes[0].message


def test_a_worker_that_can_never_work_says_why() -> None:
    (outcome,) = in_pool(1, scored("a"), target=fake_workers.unusable)
    assert isinstance(outcome, WrongUse)
    assert outcome.message == "no profile of that name"


def test_a_series_of_more_files_than_a_pipe_holds_gets_through() -> None:
    async def work(pool: WorkerPool) -> list[Any]:
        return await asyncio.gather(*(pool.score(item("a", parts=5000)) for _ in range(8)))

    assert codes(in_pool(1, work)) == ["ANSWERED"] * 8


def test_an_item_that_nobody_waits_for_any_more_is_not_begun(tmp_path: Path) -> None:
    died = tmp_path / "died"

    async def work(pool: WorkerPool) -> list[Any]:
        abandoned = asyncio.create_task(pool.score(item(f"kill once:{died}")))
        await asyncio.sleep(0)  # it waits: no worker is ready yet
        abandoned.cancel()
        return [await pool.score(item("a"))]

    assert codes(in_pool(1, work)) == ["ANSWERED"]
    assert not died.exists()


def test_closing_ends_the_processes_whatever_they_do(tmp_path: Path) -> None:
    pids: list[int] = []

    async def work(pool: WorkerPool) -> None:
        waiting = asyncio.create_task(pool.score(item(f"wait:{tmp_path / 'never'}")))
        await asyncio.sleep(0)
        pids.extend(pool.pids)
        waiting.cancel()

    in_pool(2, work)
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_nothing_is_scored_after_closing() -> None:
    async def work(pool: WorkerPool) -> None:
        await pool.close()
        with pytest.raises(RunError, match="stopped"):
            await pool.score(item("a"))

    in_pool(1, work)
