"""Addresses of services in, a load balancer out that sends studies to those whose /readyz says so, one after the other.

It never sends a study twice: what a service loses is seen.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

from tests.predicting import post

LOOK_S = 0.5
REFUSED = "connection refused"
NOBODY = httpx.Response(503, text="the balancer knows of no service that is ready")


class SmallBalancer:
    """Use it in a ``with`` block. ``seen`` is what each look at a service's /readyz found: a status, or REFUSED.

    Each look is over a new connection, as the kubelet's is; studies go over connections that are kept.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.seen: dict[str, list[int | str]] = {url: [] for url in urls}
        self.taken: dict[str, int] = dict.fromkeys(urls, 0)
        self._turn = itertools.count()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._clients = {url: httpx.Client(base_url=url, trust_env=False, timeout=60) for url in urls}
        self._lookers = [threading.Thread(target=self._look_at, args=(url,), name=f"look {url}") for url in urls]

    def send(self, film: bytes) -> httpx.Response:
        """The answer of the service whose turn it is."""
        with self._lock:
            ready = [url for url, seen in self.seen.items() if seen[-1:] == [httpx.codes.OK]]
            if not ready:
                return NOBODY
            url = ready[next(self._turn) % len(ready)]
            self.taken[url] += 1
        response: httpx.Response = post(self._clients[url], film, detect="never")
        return response

    def __enter__(self) -> Self:
        for looker in self._lookers:
            looker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for looker in self._lookers:
            looker.join(30)
        for client in self._clients.values():
            client.close()

    def _look_at(self, url: str) -> None:
        while not self._ending.wait(LOOK_S):
            try:
                found: int | str = httpx.get(f"{url}/readyz", trust_env=False, timeout=10).status_code
            except httpx.ConnectError:
                found = REFUSED
            except httpx.TransportError as error:
                found = repr(error)
            with self._lock:
                self.seen[url].append(found)
