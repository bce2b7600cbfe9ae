"""What came of an item: an answer, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from radserve_client.score.item import Item


@dataclass(frozen=True, slots=True)
class Scored:
    """The service's answer: ``document`` is the JSON of docs/api, whichever way it came.

    ``content_sha256`` is over the bytes of all parts in their order. ``overlay`` (PNG) and ``mask`` (NIfTI, gzipped)
    are there when they were asked for and the pipeline has them.
    """

    document: Mapping[str, Any]
    content_sha256: str
    size_bytes: int
    overlay: bytes | None = field(default=None, repr=False)
    mask: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """``code`` is stable (docs/errors.md and docs/score.md). ``transient``: another run may well succeed.

    ``content_sha256`` is None where the content could not be read.
    """

    code: str
    message: str
    transient: bool
    http_status: int | None = None
    content_sha256: str | None = None
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """An item and what came of it."""

    item: Item
    outcome: Scored | Failed


class Engine(Protocol):
    """Something that scores items: on this machine, or on many."""

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """A result per item, in any order. ``items`` is pulled no faster than the work goes.

        Closing the iterator (``generator.close()``) stops the work; what was under way then has no result.

        Raises
        ------
        RunError
            The run as a whole cannot go on (no server within the patience, models changed and the user wants to stop).
        """
