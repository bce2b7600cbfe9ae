"""What is common to all sources: a lazy list of items, and what a run has to know about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from radserve_client.score.errors import NothingToScore, RunError
from radserve_client.score.item import Item
from radserve_client.score.sources.access import Access

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Source:
    """An archive.

    ``access`` is what ``read_parts`` needs for its items. ``manifest_schema`` has the columns that each item carries,
    None where there is no manifest. ``description`` is for ``run.json``: the kind of source and its text, no secrets.
    """

    listing: Callable[[], Iterator[Item]] = field(repr=False)
    description: Mapping[str, str]
    access: Access
    manifest_schema: pa.Schema | None = None

    def items(self) -> Iterator[Item]:
        """List the items, always in the same order as long as the archive is the same; each call lists anew.

        Raises
        ------
        NothingToScore
            At the end, when there was no item.
        RunError
            The archive cannot be listed any further.
        """
        item = None
        try:
            for item in self.listing():
                yield item
        except OSError as error:  # of a manifest: folders and files that cannot be read are items
            raise RunError(f"{self.description['text']} cannot be read to its end: {error.strerror or error}") from None
        if item is None:
            raise NothingToScore(f"{self.description['text']}: there is nothing to score in it")
