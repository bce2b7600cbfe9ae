"""Triton's own counters: its Prometheus page in, films and runs of each network since some moment out."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic, sleep, time

import httpx

EXECUTIONS, RUNS = "nv_inference_count", "nv_inference_exec_count"
LINE = re.compile(r'^(\w+)\{model="([^"]+)",version="[^"]*"\} (\S+)$')
POLL_S = 0.01
"""Where a window begins and ends: a film of the fastest way takes 50 ms."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Films that each network has seen, and how often it ran; ``at`` is seconds since 1970."""

    at: float
    executions: dict[str, int]
    runs: dict[str, int]

    @property
    def total(self) -> int:
        """Films over all networks."""
        return sum(self.executions.values())


class Statistics:
    """The counters of ``models`` at a Triton. Closed at the end of the block."""

    def __init__(self, metrics_url: str, models: Collection[str]) -> None:
        self._url = metrics_url
        self._models = tuple(models)
        self._http = httpx.Client(trust_env=False, timeout=10.0)

    def __enter__(self) -> Statistics:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def now(self) -> Counters:
        """The counters. ValueError when one of the models is not on the page."""
        return parsed(self._http.get(self._url).raise_for_status().text, self._models, at=time())

    def at_change(self, timeout_s: float) -> Counters:
        """The counters as soon as they are others: a window from one change to another cuts no film off.

        Raises
        ------
        TimeoutError
            Nothing changes: nobody asks the networks.
        """
        before, until = self.now(), monotonic() + timeout_s
        while monotonic() < until:
            sleep(POLL_S)
            if (now := self.now()).total != before.total:
                return now
        raise TimeoutError(f"no network was asked for {timeout_s:g} s")


def parsed(page: str, models: Collection[str], *, at: float) -> Counters:
    """The counters of ``models`` on a Prometheus page; ValueError when one is missing."""
    found: dict[str, dict[str, int]] = {EXECUTIONS: {}, RUNS: {}}
    for name, model, value in (match.groups() for match in map(LINE.match, page.splitlines()) if match):
        if name in found and model in models:
            found[name][model] = int(float(value))
    for name, counts in found.items():
        if missing := sorted(set(models) - set(counts)):
            raise ValueError(f"Triton's page has no {name} of {', '.join(missing)}")
    return Counters(at, found[EXECUTIONS], found[RUNS])


def since(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What has been added, by network."""
    return {model: after[model] - before[model] for model in before}
