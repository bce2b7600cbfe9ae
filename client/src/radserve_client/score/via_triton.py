"""Items in, answers out, straight from one or more Tritons: worker processes here read, decode and prepare.

Those run the service's own code (``scorer.py``); this is their ``Way`` as the engine sees it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from radserve_client.score.errors import MissingExtra, WrongUse
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.sources.access import Access
from radserve_client.score.way import Ask, Content, Served
from radserve_client.score.worker_pool import WorkerPool


class PooledWay:
    """The ``Way`` through ``workers`` processes, which start with the first item. One event loop."""

    def __init__(self, options: ScorerOptions, workers: int) -> None:
        self._options = options
        self._pool = WorkerPool(options, workers)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers there are now."""
        return self._pool.pids

    async def models(self) -> Served:
        """See ``Way``. ServerRefuses when two addresses serve different models."""
        from radserve_client.score.triton_models import models_at

        return await models_at(self._options.addresses, self._options.ask)

    async def read(self, item: Item) -> Content:
        """Nothing yet: the worker reads, so that no image goes through a pipe."""
        return Content((), "", item.size_bytes)

    async def score(self, item: Item, content: Content) -> Scored | Failed:
        """See ``Way``."""
        del content
        return await self._pool.score(item)

    async def close(self) -> None:
        """See ``Way``."""
        await self._pool.close()


class TritonWay(PooledWay):
    """The same, from what a user says.

    ``addresses`` are ``host:port`` of gRPC endpoints that serve the same models. ``workers`` None takes as many as the
    usable cores are good for. An archive that is away is waited for ``patience_s``.

    Raises
    ------
    MissingExtra
        The decoders are not installed (``radserve-client[local]``).
    WrongUse
        No address, one that is none, or no such pipeline or profile.
    """

    def __init__(
        self,
        ask: Ask,
        access: Access,
        addresses: Sequence[str],
        *,
        workers: int | None = None,
        patience_s: float = 1800.0,
    ) -> None:
        need_decoders("--via triton")
        from radserve_client.score.cores_share import crew_for
        from radserve_client.score.triton_models import checked_addresses, profile_of

        if workers is not None and workers < 1:
            raise WrongUse(f"{workers} workers can do nothing; at least 1")
        profile_of(ask)
        checked = checked_addresses(addresses)
        crew = crew_for(checked, workers)
        super().__init__(ScorerOptions(ask, access, checked, crew.threads, patience_s), crew.workers)


def need_decoders(what: str) -> None:
    """Raise MissingExtra where the service's code is not installed."""
    if importlib.util.find_spec("radserve_preproc") is None:
        raise MissingExtra(
            f"{what} needs the decoders of the service, which are not installed here. Install them with:"
            " pip install 'radserve-client[local]'"
        )
