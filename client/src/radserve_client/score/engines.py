"""Options in, the engine and the way that they ask for out. What is optional is imported here, when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from radserve_client.score.engine_local import Limits, LocalEngine
from radserve_client.score.errors import WrongUse
from radserve_client.score.extras import need
from radserve_client.score.gauges import Gauges
from radserve_client.score.options import EngineName, RunOptions, Via
from radserve_client.score.outcome import Engine
from radserve_client.score.presence import Presence
from radserve_client.score.read import Access
from radserve_client.score.way import Gone, Served, Way
from radserve_client.settings import ClientSettings, checked_url

TRITON_ADDRESS = "127.0.0.1:8001"
Say = Callable[[str], None]


class Gauged(Protocol):
    """An engine that shows how full its stages are."""

    def gauges(self) -> Gauges:
        """Now."""


def way_maker(options: RunOptions, access: Access, settings: ClientSettings) -> Callable[[], Way]:
    """Makes the way to the networks, on the event loop that is to use it."""
    if options.via is Via.SERVICE:
        from radserve_client.score.via_service import ServiceWay

        url = _url(options, settings)
        return lambda: ServiceWay(options.ask, access, url, settings)
    need("local", "--via triton")
    from radserve_client.score.via_triton import TritonWay

    return lambda: TritonWay(
        options.ask, access, addresses(options), workers=options.workers, patience_s=options.patience_s
    )


def make_engine(options: RunOptions, access: Access, make_way: Callable[[], Way], say: Say) -> Engine:
    """The engine of a run."""
    if options.engine is EngineName.RAY:
        need("ray", "--engine ray")
        from radserve_client.score.engine_ray import RayEngine

        workers = (1, options.workers) if options.workers else None
        return RayEngine(
            options.ask,
            access,
            addresses(options),
            workers=workers,
            ray_address=options.ray_address,
            patience_s=options.patience_s,
            say=say,
        )
    limits = Limits(window=options.window, held_bytes=options.in_flight_bytes, patience_s=options.patience_s)
    return LocalEngine(make_way, limits, say=say)


def served_now(make_way: Callable[[], Way], *, patience_s: float, say: Say) -> Served:
    """What answers now; a server that is away is waited for.

    Raises
    ------
    ServerGone
        It did not come within the patience.
    RunError
        It will not serve what is asked for.
    """
    return asyncio.run(_served_now(make_way, patience_s, say))


async def _served_now(make_way: Callable[[], Way], patience_s: float, say: Say) -> Served:
    way = make_way()
    try:
        presence = Presence(way.models, patience_s=patience_s, say=say)
        while True:
            try:
                return await way.models()
            except Gone as gone:
                await presence.missed(gone)
    finally:
        await way.close()


def gauges_of(engine: Engine) -> Callable[[], Gauges]:
    """How full the stages of an engine are, where it says so."""
    return getattr(engine, "gauges", Gauges)


def addresses(options: RunOptions) -> tuple[str, ...]:
    """Where Triton is."""
    return options.triton or (TRITON_ADDRESS,)


def _url(options: RunOptions, settings: ClientSettings) -> str:
    try:
        return str(settings.url if options.url is None else checked_url(options.url)).rstrip("/")
    except ValueError as error:
        raise WrongUse(f"--url: {error}") from None
