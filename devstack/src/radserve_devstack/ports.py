"""TCP ports for servers on this machine: free ones, or asked for and proved free."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from radserve_devstack.errors import StackError


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the service and Triton's three endpoints listen; 0 takes a free port."""

    service: int = 0
    triton_grpc: int = 0
    triton_http: int = 0
    triton_metrics: int = 0

    def settled(self, host: str) -> Ports:
        """The same with every 0 replaced by a free port of ``host``.

        Raises
        ------
        StackError
            A port that was asked for is taken; the message names it.
        """
        held = [_bind(host, port) for port in (self.service, self.triton_grpc, self.triton_http, self.triton_metrics)]
        numbers = [sock.getsockname()[1] for sock in held]
        for sock in held:
            sock.close()
        return Ports(*numbers)


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket: all four are held at once, so that no two get the same number."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # as servers do: a port in TIME_WAIT counts as free
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise StackError(f"port {port} of {host} cannot be used: {error.strerror}; choose another") from None
    return sock
