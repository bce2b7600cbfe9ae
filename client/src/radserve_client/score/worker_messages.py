"""What goes through the pipe between the command and a worker process: picklable, and small (it reads the files)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from radserve_client.score.errors import RunError
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.way import Broke, Busy, Gone


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has loaded everything and takes items."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """The worker can never take items: what is asked for cannot be. It ends."""

    message: str


@dataclass(frozen=True, slots=True)
class Task:
    """An item to score; ``number`` comes back with the answer."""

    number: int
    item: Item


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a task: an outcome, or how to make the exception that ``Way.score`` raises instead."""

    number: int
    outcome: Scored | Failed | Callable[[], Exception] = field(repr=False)


def recipe(error: Busy | Gone | Broke | RunError) -> Callable[[], Exception]:
    """How to make the same exception elsewhere: one with keyword arguments does not survive pickling."""
    match error:
        case Busy():
            return partial(Busy, error.retry_after_s)
        case Gone():
            return partial(Gone, error.message, code=error.code, http_status=error.http_status)
        case Broke():
            return partial(Broke, error.code, error.message, http_status=error.http_status, strained=error.strained)
        case RunError():
            return partial(type(error), error.message)


def result_of(outcome: Scored | Failed | Callable[[], Exception]) -> Scored | Failed:
    """The outcome, or raise what is to be raised instead."""
    if isinstance(outcome, Scored | Failed):
        return outcome
    raise outcome()
