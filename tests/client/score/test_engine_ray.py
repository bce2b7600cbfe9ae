"""The Ray engine without a cluster: what it gives to Ray, and what it makes of what comes back, lost or twice.

With a real cluster: tests/end_to_end/test_score_ray.py.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from radserve_client.score import engine_ray, ray_cluster
from radserve_client.score.engine_ray import RayEngine
from radserve_client.score.errors import MissingExtra, RunError, ServerGone, WrongUse
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Result
from radserve_client.score.read import Access
from radserve_client.score.way import Ask
from radserve_client.score.worker_messages import recipe

SPINE = Ask("spine")
ANSWER = Failed("ANSWERED", "", transient=False)
Row = dict[str, Any]
Rows = Callable[[list[Row]], Iterable[Row]]


class RayError(Exception):
    """Takes the place of Ray's."""


class FakeRay:
    """As much of Ray Data as the engine uses; ``rows`` makes the rows that come back of those that were given."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.runs: list[list[Row]] = []
        self.blocks: list[int] = []
        self.pools: list[dict[str, Any]] = []
        context = SimpleNamespace(get_current=SimpleNamespace)
        self.data = SimpleNamespace(from_items=self._from_items, ActorPoolStrategy=self._pool, DataContext=context)
        self.exceptions = SimpleNamespace(RayError=RayError)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 48.0, "memory": 1e12}

    def _pool(self, **options: Any) -> None:
        self.pools.append(options)

    def _from_items(self, given: list[Row], *, override_num_blocks: int) -> Any:
        self.runs.append(given)
        self.blocks.append(override_num_blocks)
        dataset = SimpleNamespace(iter_rows=lambda: iter(self.rows(given)))
        return SimpleNamespace(map_batches=lambda *_args, **_kwargs: dataset)


def answered(given: list[Row]) -> Iterator[Row]:
    for row in given:
        yield {"number": row["number"], "outcome": pickle.dumps(ANSWER)}


def results(
    monkeypatch: pytest.MonkeyPatch, rows: Rows, items: Iterable[Item], ray: FakeRay | None = None, **options: Any
) -> list[Result]:
    fake = ray or FakeRay(rows)

    @contextmanager
    def connected(address: str | None, *, cores: int) -> Iterator[Any]:
        yield fake

    monkeypatch.setattr(engine_ray, "connected", connected)
    monkeypatch.setattr(engine_ray, "ray_or_say_so", lambda _: fake)
    return list(RayEngine(SPINE, Access(), ["127.0.0.1:8001"], **options).results(items))


def items(count: int, path: str = "x") -> Iterator[Item]:
    return (Item(f"/archive/{number}", "", (FilePart(path),), 1) for number in range(count))


def test_each_item_gets_its_result_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(monkeypatch, lambda given: reversed(list(answered(given))), items(20))
    assert {result.item.source for result in found} == {item.source for item in items(20)}
    assert len(found) == 20


def test_an_outcome_that_comes_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(monkeypatch, lambda given: [*answered(given), *answered(given[:7])], items(20))
    assert len(found) == 20


def test_items_that_never_come_back_end_the_run_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="lost 3 items"):
        results(monkeypatch, lambda given: answered(given[3:]), items(20))


def test_what_ends_the_run_in_an_actor_ends_it_here(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = pickle.dumps(recipe(ServerGone("no answer for 1800 s")))
    with pytest.raises(ServerGone, match="no answer for 1800 s"):
        results(monkeypatch, lambda given: [{"number": 0, "outcome": gone}], items(2))


def test_an_error_of_ray_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(given: list[Row]) -> Iterator[Row]:
        yield from answered(given[:1])
        raise RayError("Traceback (most recent call last):\n  many lines\nthe raylet is gone")

    with pytest.raises(RunError, match=r"^Ray could not go on: RayError: the raylet is gone$"):
        results(monkeypatch, failing, items(2))


def test_an_archive_goes_in_chunks_that_grow_and_in_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(answered)
    assert len(results(monkeypatch, answered, items(4000), ray)) == 4000
    assert list(map(len, ray.runs)) == [1024, 2048, 928]
    assert ray.blocks == [128, 256, 116]


def test_a_chunk_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_ray, "LARGEST_CHUNK_BYTES", 100_000)
    ray = FakeRay(answered)
    results(monkeypatch, answered, items(20, path="x" * 30_000), ray)
    assert list(map(len, ray.runs)) == [4, 4, 4, 4, 4]


def test_items_are_pulled_no_further_than_the_chunk_that_is_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[Item] = []
    seen: list[int] = []

    def source() -> Iterator[Item]:
        for item in items(2000):
            pulled.append(item)
            yield item

    def rows(given: list[Row]) -> Iterator[Row]:
        seen.append(len(pulled))
        return answered(given)

    results(monkeypatch, rows, source())
    assert seen == [1024, 2000]


def test_an_empty_archive_starts_no_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(answered)
    assert results(monkeypatch, answered, [], ray) == []
    assert ray.runs == []


@pytest.mark.parametrize(("workers", "pool"), [(None, (1, 48)), ((2, 6), (2, 6))])
def test_the_pool_grows_to_the_clusters_cores_or_to_what_is_wanted(
    workers: tuple[int, int] | None, pool: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay(answered)
    results(monkeypatch, answered, items(1), ray, workers=workers)
    assert [(made["min_size"], made["max_size"]) for made in ray.pools] == [pool]


def test_without_ray_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(MissingExtra, match=r"radserve-client\[ray\]"):
        RayEngine(SPINE, Access(), ["127.0.0.1:8001"])


@pytest.mark.parametrize("workers", [(0, 2), (3, 2)])
def test_a_pool_that_cannot_be_is_refused(workers: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_ray, "ray_or_say_so", lambda _: None)
    with pytest.raises(WrongUse, match="at least 1"):
        RayEngine(SPINE, Access(), ["127.0.0.1:8001"], workers=workers)


@pytest.mark.parametrize(
    ("free_bytes", "store_bytes"),
    [(64 * 1024**2, 80 * 1024**2), (200 * 1024**2, 160 * 1024**2), (64 * 1024**3, 256 * 1024**2)],
)
def test_the_object_store_fits_the_shared_memory(
    free_bytes: int, store_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster.shutil, "disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    assert ray_cluster._store_bytes() == store_bytes


@pytest.mark.parametrize("address", ["head", "ray://head:10001/x", "head:", ":6379"])
def test_what_is_no_address_of_a_cluster_is_refused(address: str) -> None:
    with pytest.raises(WrongUse, match="host:port"):
        ray_cluster._connect(_never(), address, None, 2)


def test_nobody_at_the_address_of_a_cluster_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but it does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=f"cannot reach the Ray cluster at {address}"):
            ray_cluster._connect(_never(), address, None, 2)


def test_a_cluster_that_does_not_start_is_tried_twice_and_then_told_in_a_line() -> None:
    tried: list[str] = []

    def init(address: str, **_: Any) -> None:
        tried.append(address)
        raise RuntimeError("the GCS timed out\nand much more")

    ray: Any = SimpleNamespace(init=init, shutdown=lambda: tried.append("shutdown"))
    with pytest.raises(RunError, match=r"^Ray does not start: the GCS timed out$"):
        ray_cluster._connect(ray, None, None, 2)
    assert tried == ["local", "shutdown"] * 2


def _never() -> Any:
    def init(**_: Any) -> None:
        raise AssertionError("Ray was asked")

    return SimpleNamespace(init=init, shutdown=lambda: None)
