"""The seam between the flow and whatever reaches the networks: ``via_service.py``, ``via_triton.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_contract.findings import ModelIdentity


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted of every item. ``profile`` None is the pipeline's default. Picklable.

    ``overlay`` is the pipeline's usual picture, ``mask`` the NIfTI of a segmentation.
    """

    pipeline: str
    profile: str | None = None
    detect: str | None = None
    series: str | None = None
    overlay: bool = False
    mask: bool = False


@dataclass(frozen=True, slots=True)
class Served:
    """What answers now: the profile by its name, and every network and fusion that may take part in an answer."""

    pipeline: str
    profile: str
    models: tuple[ModelIdentity, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of an item's parts, in their order. A way whose workers read for themselves leaves ``parts`` empty."""

    parts: Sequence[bytes] = field(repr=False)
    sha256: str
    size_bytes: int


class Busy(Exception):
    """The server has no room now; nothing is wrong with the item. It is tried again, with fewer at once.

    ``retry_after_s`` is what the server asks for, None when it does not say.
    """

    def __init__(self, retry_after_s: float | None = None) -> None:
        super().__init__("busy")
        self.retry_after_s = retry_after_s


class Gone(Exception):
    """Nobody is there who could answer: everything waits until ``models()`` answers again. No item fails of it."""

    def __init__(self, message: str, *, code: str = "UNREACHABLE", http_status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.http_status = http_status


class Broke(Exception):
    """This attempt came to nothing, through the item or the server: nobody knows. Tried again a few times.

    After the last try the item fails with ``code``, transient. ``strained``: there is too much to do over there.
    """

    def __init__(self, code: str, message: str, *, http_status: int | None = None, strained: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.strained = strained


class Way(Protocol):
    """How items reach the networks. Made and used on one event loop; cheap to make: workers start with the first item.

    Cancelling ``read`` or ``score`` abandons the item.
    """

    async def models(self) -> Served:
        """What answers now.

        Raises
        ------
        Gone
            Nobody answers, or the models are not ready: ask again later.
        RunError
            It never will (ServerRefuses, WrongUse).
        """

    async def read(self, item: Item) -> Content | Failed:
        """The content of an item. Files that cannot be read are ``Failed``.

        Raises
        ------
        Gone
            The archive (a DICOMweb server) is away.
        """

    async def score(self, item: Item, content: Content) -> Scored | Failed:
        """The answer on an item, or why there is none.

        Raises
        ------
        Busy, Gone, Broke
            It is to be tried again; see there.
        RunError
            The run cannot go on.
        """

    async def close(self) -> None:
        """End connections and workers; what is under way is abandoned."""
