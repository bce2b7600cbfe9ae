"""The cores of this machine in; out: how many worker processes and threads may decode, so that Triton has some left."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from radserve_preproc.cores import usable_cores

THREADS_PER_WORKER = 2
"""Decoders release the GIL, so that two threads of one process are two cores; what lies between them does not."""


@dataclass(frozen=True, slots=True)
class Crew:
    """``workers`` processes of ``threads`` decoding threads each."""

    workers: int
    threads: int


def crew_for(addresses: Sequence[str], workers: int | None = None, *, cores: int | None = None) -> Crew:
    """As many threads as there are cores; half of them, but two, where a Triton runs on this machine as well.

    Two, because decoding and the networks take turns: with one, a core would be idle whenever Triton waits for a film.
    ``workers`` is what the user wants, at most a process per thread otherwise.
    """
    cores = cores or usable_cores()
    threads = cores
    if any(is_here(address) for address in addresses):
        threads = min(cores, max(2, cores // 2))
    if workers is None:
        workers = math.ceil(threads / THREADS_PER_WORKER)
    return Crew(workers, max(1, threads // workers))


def is_here(address: str) -> bool:
    """Whether ``host:port`` is an address of this machine: whether a socket can be bound to it. False when unknown."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        for family, kind, protocol, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with closing(socket.socket(family, kind, protocol)) as probe:
                probe.bind(place)
                return True
    except OSError:
        pass
    return False
