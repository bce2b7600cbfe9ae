"""Triton's address in, the gRPC channel to it out: the one factory, and when a channel gives way to a fresh one.

gRPC connects again by itself, but leaves two things undone. A name that cannot be resolved yet it asks for ever more
rarely, up to two minutes apart, and no option changes that: the first Triton pod would be found minutes after it is
ready. And it reads certificates once. Both are cured by a new channel; calls on the old one end in peace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import grpc
from tritonclient.grpc import service_pb2_grpc

from radserve_preproc.settings import Balancing, ConfigurationError
from radserve_preproc.triton_tls import Pem, TlsFiles

log = logging.getLogger(__name__)

INT32_MAX = 2**31 - 1
LOOK_S = 1.0
"""How often it is asked whether the channel should give way."""
FAILING_S = 4.0
"""So long without anybody there, and a fresh channel is tried. gRPC's own second attempt comes after 1 s."""
CERTIFICATES_S = 10.0
"""How often the files are compared; a renewed certificate is valid for days before the old one ends."""
LEAVE_S = 600.0
"""Calls on a channel that was left may go on for so long; each ends sooner, by its own deadline."""


def channel_options(balancing: Balancing) -> list[tuple[str, str | int]]:
    """Options of every channel to Triton. gRPC's own message limit is 4 MB; volumes and full batches are larger."""
    return [
        ("grpc.max_send_message_length", INT32_MAX),
        ("grpc.max_receive_message_length", INT32_MAX),
        ("grpc.lb_policy_name", balancing.value),
        ("grpc.enable_http_proxy", 0),  # films never leave through the machine's web proxy
        # gRPC waits 1 s, then up to 2 min between attempts; a restarted Triton should be found sooner
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # despite its name how long one attempt may take: a TLS handshake between busy machines, or a node that is gone
        ("grpc.min_reconnect_backoff_ms", 5000),
        # when a connection has reached its age the name is asked for again: new replicas. By default not within 30 s
        ("grpc.dns_min_time_between_resolutions_ms", 2000),
        # who answers for the name says where Triton is, not how calls are made
        ("grpc.service_config_disable_resolution", 1),
        # a node that vanishes without a FIN would hold the channel for the 15 min of TCP's retransmissions. A server
        # bears two pings in 5 min without data; calls end within the request timeout, so 30 s stays below that
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


def open_channel(address: str, balancing: Balancing, pem: Pem | None = None) -> grpc.aio.Channel:
    """The only place where a channel to Triton is made. Call it on the event loop that will use it."""
    options = channel_options(balancing)
    if pem is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, pem.credentials(), options=options)


class TritonChannel:
    """The channel in use. ``stub`` is asked for anew for each call: it may be another channel's by then.

    Raises ConfigurationError when ``tls`` cannot be read.
    """

    def __init__(self, address: str, balancing: Balancing, tls: TlsFiles | None = None) -> None:
        self._address = address
        self._balancing = balancing
        self._tls = tls
        self._pem = tls.read() if tls else None
        self._complaint = ""
        self._connection = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._open()
        self._looking = asyncio.create_task(self._look())

    @property
    def stub(self) -> Any:
        """Triton's service, for one call."""
        return self._stub

    @property
    def connection(self) -> int:
        """How often the connection was lost or left so far."""
        return self._connection

    async def close(self) -> None:
        """End every call and give the connections back."""
        self._looking.cancel()
        await asyncio.gather(self._looking, return_exceptions=True)
        await self._channel.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _open(self) -> None:
        self._channel = open_channel(self._address, self._balancing, self._pem)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._failing_since: float | None = None
        self._keep(self._watch(self._channel))

    def _replace(self) -> None:
        """A fresh channel for all calls from here on."""
        left = self._channel
        self._open()
        self._keep(left.close(LEAVE_S))

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        """Count lost connections. Nothing is awaited between seeing a state and the next wait: none is missed."""
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.SHUTDOWN:
            await channel.wait_for_state_change(state)
            if channel is not self._channel:
                return
            if state is grpc.ChannelConnectivity.READY:
                self._connection += 1
            state = channel.get_state(try_to_connect=True)
            self._note(state)

    def _note(self, state: grpc.ChannelConnectivity) -> None:
        """Since when nobody is there; CONNECTING is an attempt, not a success."""
        if state is grpc.ChannelConnectivity.READY:
            self._failing_since = None
        elif state is grpc.ChannelConnectivity.TRANSIENT_FAILURE and self._failing_since is None:
            self._failing_since = time.monotonic()

    async def _look(self) -> None:
        compared = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            if self._tls and now - compared >= CERTIFICATES_S:
                compared = now
                await self._compare(self._tls)
            if self._failing_since is not None and now - self._failing_since >= FAILING_S:
                self._replace()

    async def _compare(self, tls: TlsFiles) -> None:
        """Take renewed certificates; files that are no good, such as half of a renewal, leave the old ones in use."""
        try:
            pem = await asyncio.to_thread(tls.read)
        except ConfigurationError as error:
            self._complain(str(error))
            return
        self._complaint = ""
        if pem != self._pem:
            log.info("the certificates for Triton were renewed")
            self._pem = pem
            self._connection += 1
            self._replace()

    def _complain(self, why: str) -> None:
        """Log a reason once, not at every look."""
        if why != self._complaint:
            log.warning("renewed certificates for Triton cannot be used", extra={"why": why})
        self._complaint = why
