"""Ports as asked for in, ports that can be listened on out."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack

from radserve_triton.errors import PortInUse

# below Linux's default range for outgoing connections: one of those cannot take the port before the server does
FREE_RANGE = range(20000, 32000)
ATTEMPTS = 50


def settle_ports(host: str, wanted: Mapping[str, int]) -> dict[str, int]:
    """Check each wanted port on ``host`` and choose a free one, different from the others, where 0 is wanted.

    Raises
    ------
    PortInUse
        When a wanted port is taken or may not be used, or ``host`` is no address of this machine.
    """
    with ExitStack() as held:  # all at once, so that no port is chosen twice
        return {
            role: _choose(held, host, role) if port == 0 else _take(held, host, role, port)
            for role, port in wanted.items()
        }


def _choose(held: ExitStack, host: str, role: str) -> int:
    candidates = random.sample(FREE_RANGE, ATTEMPTS)
    for port in candidates[:-1]:
        try:
            return _take(held, host, role, port)
        except PortInUse:
            continue
    return _take(held, host, role, candidates[-1])


def _take(held: ExitStack, host: str, role: str, port: int) -> int:
    """Listen on the port for as long as ``held`` is open."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    # as Triton does: a port whose last server has just gone is free
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        raise PortInUse(
            f"cannot listen on {host}:{port} for {role}: {error.strerror}; stop what listens there, or choose another"
            f" with --{role}-port (0: any free one)"
        ) from error
    return port
