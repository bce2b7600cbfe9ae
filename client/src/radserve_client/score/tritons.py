"""Several Triton addresses in; out: the one with the least to do, for one study at a time.

An address that does not answer is left out until it does. One that comes back with other models than those of the
addresses in use stays left out, so that the archive is scored by one release; when no other address is left it is taken
as it is, and its answers say which models gave them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from radserve_contract.findings import ModelIdentity
from radserve_contract.spec import Profile
from radserve_preproc.catalogue import Catalogue
from radserve_preproc.errors import RadserveError, Unavailable
from radserve_preproc.service import Service

log = logging.getLogger(__name__)

PROBE_PAUSE_S = 1.0
Result = TypeVar("Result")


@dataclass(slots=True)
class _Address:
    """One Triton: studies with it now, when it got its last one, and who asks whether it is back while it is away."""

    service: Service
    in_flight: int = 0
    turn: int = 0
    waiting: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def is_up(self) -> bool:
        """Whether it answered last time."""
        return self.waiting is None


class Tritons:
    """The ``services`` differ in their Triton alone. ``first`` is whose turn it is first: another one per worker."""

    def __init__(self, services: Sequence[Service], profile: Profile, *, first: int = 0) -> None:
        self._addresses = [_Address(service) for service in services]
        self._profile = profile
        self._turns = itertools.count(1)
        self._addresses = self._addresses[first % len(services) :] + self._addresses[: first % len(services)]

    async def use(self, work: Callable[[Service], Awaitable[Result]]) -> Result:
        """The result of ``work`` on a study, with another address where one turns out to be away.

        Raises
        ------
        Unavailable
            None of them answers.
        """
        tried: list[_Address] = []
        while True:
            address = self._choose(tried)
            tried.append(address)
            try:
                return await self._use(address, work)
            except Unavailable as error:
                self._leave_out(address)
                if len(tried) == len(self._addresses):
                    raise error from None

    async def close(self) -> None:
        """End the connections."""
        probes = [address.waiting for address in self._addresses if address.waiting is not None]
        for probe in probes:
            probe.cancel()
        await asyncio.gather(*probes, return_exceptions=True)
        for address in self._addresses:
            await address.service.close()

    def _choose(self, tried: Sequence[_Address]) -> _Address:
        """The one with the least to do of those that are up; of equals, that which waited longest. Else any."""
        left = [address for address in self._addresses if address not in tried]
        up = [address for address in left if address.is_up]
        return min(up or left, key=lambda address: (address.in_flight, address.turn))

    async def _use(self, address: _Address, work: Callable[[Service], Awaitable[Result]]) -> Result:
        address.in_flight += 1
        address.turn = next(self._turns)
        try:
            return await work(address.service)
        finally:
            address.in_flight -= 1

    def _leave_out(self, address: _Address) -> None:
        if address.waiting is None:
            address.waiting = asyncio.create_task(self._wait_for(address))

    async def _wait_for(self, address: _Address) -> None:
        """Until it is back, with the models that the others have."""
        said = False
        while True:
            await asyncio.sleep(PROBE_PAUSE_S)
            with contextlib.suppress(RadserveError):
                # a fresh one asks; the service's own may remember what was loaded before the connection broke
                loaded = await Catalogue(address.service.triton, refresh_s=PROBE_PAUSE_S).require(self._profile)
                if self._agree(loaded.all_identities()):
                    break
                if not said:
                    log.error("Triton at %s is left out: it serves other models than the others", _name(address))
                    said = True
        address.waiting = None

    def _agree(self, found: Sequence[ModelIdentity]) -> bool:
        """Whether these are the models of the addresses in use, as far as those are known."""
        in_use = [set(address.service.catalogue.known()) for address in self._addresses if address.is_up]
        return all(not known or set(found) == known for known in in_use)


def _name(address: _Address) -> str:
    return address.service.settings.triton_address
