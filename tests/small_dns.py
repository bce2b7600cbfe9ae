"""Names in, a DNS server on this machine out whose records a test changes as it goes.

gRPC asks it when the name of a target carries its address: ``dns://127.0.0.1:PORT/name:8001``.
"""

from __future__ import annotations

import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class SmallDns(BaseResolver):  # type: ignore[misc]  # dnslib is untyped
    """Use it in a ``with`` block. A name that was never set, or was set to nothing, does not exist (NXDOMAIN).

    ``asked`` counts the questions for IPv4 addresses by name.
    """

    def __init__(self) -> None:
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self._server = DNSServer(self, address="127.0.0.1", port=0, logger=DNSLogger(logf=lambda line: None))

    def __enter__(self) -> Self:
        self._server.start_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._server.server.server_close()

    def target(self, name: str, port: int) -> str:
        """A gRPC target that asks this server for ``name``."""
        return f"dns://127.0.0.1:{self._server.server.server_address[1]}/{name}:{port}"

    def set(self, name: str, *addresses: str) -> None:
        """From now on ``name`` has these addresses."""
        with self._lock:
            self._addresses[name] = addresses

    def resolve(self, request: Any, handler: Any) -> Any:  # dnslib's signature
        """The answer to one question; called in the server's thread."""
        name, kind = str(request.q.qname).rstrip("."), QTYPE[request.q.qtype]
        reply = request.reply()
        with self._lock:
            addresses = self._addresses.get(name, ())
            self.asked[name] += kind == "A"
        if not addresses:
            reply.header.rcode = RCODE.NXDOMAIN
        for address in addresses if kind == "A" else ():
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=1))
        return reply
