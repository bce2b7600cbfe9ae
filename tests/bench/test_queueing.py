"""The simulation against closed forms, and its line against the service's own.

Seeds are fixed, so each simulated figure is always the same and nothing here is flaky. The bounds, 6 to 15 %, are wider
where load is higher, since waits then hang together for longer; a wrong formula or rule is off by far more (M/D/1 waits
half as long as M/M/1, Erlang C with a core more a third).
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from random import Random

import pytest

from bench.queueing import simulate
from bench.queueing_values import StudyClass, daily, exponential, percentile, poisson
from bench.waiting import Line, Place
from radserve_contract.priority import Priority
from radserve_preproc.capacity import OVERALL, Capacity, Room
from radserve_preproc.deadline import Deadline
from radserve_preproc.waiting_line import Waiter, WaitingLine

STAT, URGENT, ROUTINE = Priority.STAT, Priority.URGENT, Priority.ROUTINE
STUDIES = 50_000


def mean(values):
    return sum(values) / len(values)


def one_visit(random, *, seconds=1.0):
    return (("x", exponential(random, seconds)),)


def fixed(*visits):
    return lambda random: visits


def waits(stations, *classes, rate, seed=7, **options):
    """Mean seconds in line of each class; ``rate`` is how many studies come a second, of all classes."""
    long_s = STUDIES / rate
    done = simulate(stations, classes, until_s=long_s, warm_up_s=long_s / 20, seed=seed, **options)
    return [mean(done.classes[one.name].waited) for one in classes]


def erlang_c(cores, load):
    """The probability that all of ``cores`` are busy, ``load`` = arrivals a second x mean seconds."""
    terms = [load**k / math.factorial(k) for k in range(cores)]
    last = load**cores / math.factorial(cores) * cores / (cores - load)
    return last / (sum(terms) + last)


@pytest.mark.parametrize(("load", "off"), [(0.5, 0.06), (0.8, 0.15)])
def test_one_core_waits_as_m_m_1_says(load, off):
    (found,) = waits({"x": 1}, StudyClass("a", ROUTINE, one_visit, poisson(load)), rate=load)
    assert found == pytest.approx(load / (1 - load), rel=off)


@pytest.mark.parametrize(("cores", "load", "off"), [(4, 2.8, 0.1), (8, 6.4, 0.15)])
def test_several_cores_wait_as_erlang_c_says(cores, load, off):
    (found,) = waits({"x": cores}, StudyClass("a", ROUTINE, one_visit, poisson(load)), rate=load)
    assert found == pytest.approx(erlang_c(cores, load) / (cores - load), rel=off)


@pytest.mark.parametrize(
    ("route", "seconds", "square"),
    [
        (fixed(("x", 1.0)), 1.0, 1.0),
        (lambda random: (("x", 0.5 if random.random() < 0.9 else 5.5),), 1.0, 0.9 * 0.25 + 0.1 * 30.25),
    ],
    ids=["all alike", "one in ten is long"],
)
def test_one_core_with_any_service_time_waits_as_pollaczek_and_khinchine_say(route, seconds, square):
    rate = 0.6
    (found,) = waits({"x": 1}, StudyClass("a", ROUTINE, route, poisson(rate)), rate=rate)
    assert found == pytest.approx(rate * square / (2 * (1 - rate * seconds)), rel=0.12)


def test_strict_priorities_wait_as_cobham_says():
    """Without ageing: W(k) = load / ((1 - s(k - 1)) (1 - s(k))), s the load up to that priority, visits of 1 s."""
    rates = {STAT: 0.2, URGENT: 0.3, ROUTINE: 0.3}
    found = waits({"x": 1}, *(StudyClass(p.value, p, one_visit, poisson(rate)) for p, rate in rates.items()), rate=0.8)
    before = 0.0
    for waited, rate in zip(found, rates.values(), strict=True):
        upto = before + rate
        assert waited == pytest.approx(sum(rates.values()) / ((1 - before) * (1 - upto)), rel=0.15)
        before = upto


def test_a_second_station_waits_as_burke_says():
    """What leaves M/M/c is Poisson again: each station by itself, and their waits added."""

    def route(random):
        return (("x", exponential(random, 1.0)), ("y", exponential(random, 0.5)))

    (found,) = waits({"x": 2, "y": 1}, StudyClass("a", ROUTINE, route, poisson(1.4)), rate=1.4)
    assert found == pytest.approx(erlang_c(2, 1.4) / (2 - 1.4) + 0.7 * 0.5 / (1 - 0.7), rel=0.1)


def test_ageing_takes_from_stat_and_gives_to_routine():
    classes = [StudyClass(p.value, p, one_visit, poisson(0.45)) for p in (STAT, ROUTINE)]
    strict, aged = waits({"x": 1}, *classes, rate=0.9), waits({"x": 1}, *classes, rate=0.9, ageing_s=2.0)
    assert aged[0] > strict[0]
    assert aged[1] < strict[1]


def test_what_is_busy_is_load_over_cores():
    classes = [StudyClass("a", ROUTINE, one_visit, poisson(2.0))]
    done = simulate({"x": 4}, classes, until_s=10_000.0, seed=3)
    assert done.busy["x"] == pytest.approx(0.5, rel=0.03)


def test_a_window_keeps_every_core_busy_and_no_more_is_under_way():
    classes = [StudyClass("a", ROUTINE, fixed(("x", 2.0)), window=4)]
    done = simulate({"x": 4}, classes, until_s=1000.0, seed=1)
    assert done.classes["a"].answered == 2000
    assert max(done.classes["a"].waited) == 0.0


def moments(*times):
    return lambda random: iter((*times, math.inf))


def test_a_full_line_refuses_the_last_in_order():
    steady = fixed(("x", 100.0))
    classes = [
        StudyClass("first", ROUTINE, steady, moments(0.0, 1.0)),
        StudyClass("newcomer", STAT, steady, moments(2.0)),
    ]
    done = simulate({"x": 1}, classes, until_s=1000.0, seed=1, queue=1)
    assert (done.classes["first"].answered, done.classes["first"].refused) == (1, 1)
    assert done.classes["newcomer"].answered == 1


def test_a_study_whose_deadline_passes_in_line_is_never_run():
    classes = [StudyClass("a", ROUTINE, fixed(("x", 10.0)), moments(0.0, 1.0, 2.0), timeout_s=15.0)]
    done = simulate({"x": 1}, classes, until_s=100.0, seed=1)
    assert (done.classes["a"].answered, done.classes["a"].expired) == (1, 2)
    assert done.busy["x"] == pytest.approx(0.2), "the second was begun in time and ended late; the third never began"


def test_refused_windows_come_back():
    classes = [StudyClass("a", ROUTINE, fixed(("x", 1.0)), window=5)]
    done = simulate({"x": 1}, classes, until_s=100.0, seed=1, queue=2)
    assert done.classes["a"].refused > 0
    assert done.classes["a"].answered == 100


def test_a_day_has_its_profile():
    shares = [1.0 if 8 <= hour < 12 else 0.0 for hour in range(24)]
    shares = [share / 4 for share in shares]
    came = []
    for moment in daily(4000, shares)(Random(5)):
        if moment >= 2 * 86_400:
            break
        came.append(moment)
    assert {int(moment / 3600) % 24 for moment in came} == {8, 9, 10, 11}
    assert len(came) == pytest.approx(8000, abs=4 * math.sqrt(8000))


def test_percentiles_are_values_that_were_seen():
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0
    assert percentile(list(map(float, range(1, 101))), 0.95) == 95.0
    assert math.isnan(percentile([], 0.95))


@pytest.mark.parametrize(
    ("stations", "classes", "says"),
    [
        ({"x": 0}, [StudyClass("a", ROUTINE, one_visit, poisson(1.0))], "no cores"),
        ({"x": 1}, [], "arrivals, or a window"),
        ({"x": 1}, [StudyClass("a", ROUTINE, one_visit)], "arrivals, or a window"),
        ({"x": 1}, [StudyClass("a", ROUTINE, one_visit, poisson(1.0), window=1)], "not both"),
    ],
)
def test_what_cannot_be_simulated_is_refused(stations, classes, says):
    with pytest.raises(ValueError, match=says):
        simulate(stations, classes, until_s=1.0, seed=1)


def test_the_same_seed_gives_the_same_and_another_seed_does_not():
    run = partial(simulate, {"x": 1}, [StudyClass("a", ROUTINE, one_visit, poisson(0.7))], until_s=500.0)
    assert run(seed=1).classes["a"].waited == run(seed=1).classes["a"].waited
    assert run(seed=1).classes["a"].waited != run(seed=2).classes["a"].waited


class BothLines:
    """The service's line and the simulated one, given the same requests at the same moments."""

    AGEING_S = 10.0

    def __init__(self, loop):
        self._loop, self.now, self._number = loop, 0.0, 0
        self._theirs, self._ours = WaitingLine(self.AGEING_S), Line(self.AGEING_S)
        self._room = Room(Capacity({OVERALL: 1}, {"m": (OVERALL,)}))
        self._waiters, self._places = {}, {}

    def join(self, priority, arrived):
        self._number += 1
        deadline = Deadline(arrived, math.inf, lambda: self.now)
        self._waiters[self._number] = Waiter("m", priority, deadline, self.now, self._loop.create_future())
        self._places[self._number] = Place(priority, arrived, self._number, self._number)
        self._theirs.join(self._waiters[self._number])
        self._ours.join(self._places[self._number])

    def turn(self):
        """Whose turn it is by each; the service's choice is served in both."""
        theirs, ours = self._theirs.next(self._room), self._ours.next(self.now)
        number = self._number_of(theirs)
        self._theirs.take_turn(theirs)
        self._theirs.leave(theirs)
        self._ours.take_turn(self._places[number])
        return number, ours.number

    def last(self):
        return self._number_of(self._theirs.last()), self._ours.last(self.now).number

    def _number_of(self, waiter):
        return next(number for number, other in self._waiters.items() if other is waiter)

    def __len__(self):
        assert len(self._theirs) == len(self._ours)
        return len(self._ours)


@pytest.mark.parametrize("seed", range(6))
def test_the_line_serves_and_refuses_in_the_order_of_the_services_own(seed):
    """Mostly STAT, waits of up to minutes: every rule has its turn, the one of the overdue among them."""
    loop, random = asyncio.new_event_loop(), Random(seed)
    try:
        both = BothLines(loop)
        for _ in range(400):
            both.now += random.random() * 3
            if len(both) < 3 or (len(both) < 40 and random.random() < 0.55):
                both.join(random.choice((STAT, STAT, STAT, URGENT, ROUTINE)), both.now - random.random() * 5)
                continue
            theirs, ours = both.last()
            assert ours == theirs
            theirs, ours = both.turn()
            assert ours == theirs
    finally:
        loop.close()


def test_who_is_promoted_after_a_run_of_stat_is_not_the_one_refused():
    loop = asyncio.new_event_loop()
    try:
        both = BothLines(loop)
        both.join(ROUTINE, 0.0)
        both.now = 2 * both.AGEING_S
        for _ in range(8):
            both.join(STAT, both.now)
        turns = [both.turn() for _ in range(7)]
        assert turns == [(number, number) for number in range(2, 9)]
        assert both.last() == (9, 9)
        assert both.turn() == (1, 1)
    finally:
        loop.close()
