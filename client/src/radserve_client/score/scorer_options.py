"""What a worker has to know, as values that travel to its process or to another machine."""

from __future__ import annotations

from dataclasses import dataclass

from radserve_client.score.sources.access import Access
from radserve_client.score.way import Ask


@dataclass(frozen=True, slots=True)
class ScorerOptions:
    """``addresses`` are ``host:port`` of gRPC endpoints; ``threads`` decode and draw; ``number`` is the worker's own.

    ``patience_s`` is how long an archive (a DICOMweb server) that is away is waited for.
    """

    ask: Ask
    access: Access
    addresses: tuple[str, ...]
    threads: int
    patience_s: float = 1800.0
    number: int = 0
