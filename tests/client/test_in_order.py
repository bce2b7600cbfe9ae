"""Items in, results in the same order out, a few at a time."""

from __future__ import annotations

import threading
import time

import pytest

from radserve_client.in_order import in_order


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.05 if number == 0 else 0)
        return number * 10

    assert list(in_order(slow_first, range(20), workers=4)) == [number * 10 for number in range(20)]


def test_no_more_than_the_workers_run_at_once_and_they_do_run_at_once() -> None:
    running, most, lock = 0, 0, threading.Lock()
    all_there = threading.Barrier(3, timeout=60)  # each waits for two others: a busy machine changes nothing

    def count(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        all_there.wait()
        time.sleep(0.02)  # a fourth would come now
        with lock:
            running -= 1

    list(in_order(count, range(12), workers=3))
    assert most == 3


def test_an_exception_is_raised_at_its_turn() -> None:
    def fail(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        return number

    results = in_order(fail, range(5), workers=5)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(results)


def test_nothing_in_nothing_out() -> None:
    assert list(in_order(str, [], workers=3)) == []
