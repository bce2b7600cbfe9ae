"""When a channel gives way to a fresh one: a name that appears late is found, and calls under way lose nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from radserve_preproc import triton_channel
from radserve_preproc.errors import Unavailable
from radserve_preproc.settings import Balancing
from radserve_preproc.triton_channel import channel_options
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_triton.ports import settle_ports
from tests.fake_triton import FakeTriton
from tests.fake_triton_server import Servicer, served
from tests.preproc_service.test_triton_grpc import MODEL, infer
from tests.small_dns import SmallDns

NAME = "triton.imaging.svc.cluster.local"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh channel after a tenth of a second without anybody."""
    monkeypatch.setattr(triton_channel, "LOOK_S", 0.05)
    monkeypatch.setattr(triton_channel, "FAILING_S", 0.1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address of each channel that is opened."""
    addresses: list[str] = []
    real = triton_channel.open_channel

    def counted(address: str, *options: Any) -> Any:
        addresses.append(address)
        return real(address, *options)

    monkeypatch.setattr(triton_channel, "open_channel", counted)
    return addresses


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in 30 s"
        await asyncio.sleep(0.02)


async def ready_soon(client: TritonGrpc) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            assert await client.ready(MODEL)
            return
        except Unavailable:
            assert time.monotonic() < deadline, "nobody answered in 30 s"
            await asyncio.sleep(0.05)


@asynccontextmanager
async def behind_a_slow_way(port: int, *, delay_s: float) -> AsyncIterator[int]:
    """A port that leads to ``port``, but for the first seconds of a connection nowhere."""

    handling: set[asyncio.Task[None]] = set()

    async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while content := await source.read(65536):
            sink.write(content)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            await asyncio.sleep(delay_s)
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            writers.append(forth)
            await asyncio.gather(pass_on(reader, forth), pass_on(back, writer))
        finally:
            for each in writers:
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    server = await asyncio.start_server(
        lambda reader, writer: handling.add(asyncio.create_task(handle(reader, writer))), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)


@pytest.mark.usefixtures("hasty")
def test_a_name_that_does_not_exist_yet_is_asked_for_often_and_found() -> None:
    """gRPC's own pauses grow to two minutes: twenty questions would take it half an hour."""

    async def run() -> None:
        with SmallDns() as dns:
            async with served(Servicer(FakeTriton())) as port:
                client = TritonGrpc(dns.target(NAME, port), Balancing.ROUND_ROBIN)
                await until(lambda: dns.asked[NAME] >= 20)
                with pytest.raises(Unavailable, match=f"{NAME}:{port} does not answer"):
                    await infer(client)
                dns.set(NAME, "127.0.0.1")
                await ready_soon(client)
                await client.close()

    asyncio.run(run())


def test_a_name_is_asked_for_again_within_seconds_of_a_connections_end() -> None:
    """New replicas are found when a connection has reached its age; by itself gRPC waits 30 s between two questions."""
    options = dict(channel_options(Balancing.ROUND_ROBIN))
    assert int(options["grpc.dns_min_time_between_resolutions_ms"]) <= 5000
    assert options["grpc.service_config_disable_resolution"] == 1


def test_channels_to_triton_are_made_in_one_place() -> None:
    """Another one would bring gRPC's limit of 4 MB back, or go without TLS."""
    package = Path(triton_channel.__file__).parent
    makers = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r"grpc\.aio\.\w*secure_channel", path.read_text("utf-8"))
    }
    assert makers == {"triton_channel.py"}


@pytest.mark.usefixtures("hasty")
def test_a_channel_that_works_at_last_is_kept(opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_channel, "FAILING_S", 1.5)

    async def run() -> None:
        port = settle_ports("127.0.0.1", {"grpc": 0})["grpc"]
        client = TritonGrpc(f"127.0.0.1:{port}")
        with pytest.raises(Unavailable):
            await client.ready(MODEL)
        async with served(Servicer(FakeTriton()), port):
            await ready_soon(client)
            await asyncio.sleep(0.2)  # a fresh one that was just due may still come
            before = len(opened)
            await asyncio.sleep(2)
            await infer(client)
            assert len(opened) == before
            await client.close()

    asyncio.run(run())


@pytest.mark.usefixtures("hasty")
def test_an_attempt_to_connect_is_not_cut_short(opened: list[str]) -> None:
    """Whoever takes the connection and says nothing may be in the middle of a handshake."""

    async def run() -> None:
        async with behind_a_slow_way(port=1, delay_s=30) as mute:
            client = TritonGrpc(f"127.0.0.1:{mute}")
            await asyncio.sleep(0.5)
            await client.close()

    asyncio.run(run())
    assert len(opened) == 1


def test_a_handshake_of_three_seconds_is_waited_for() -> None:
    async def run() -> None:
        async with served(Servicer(FakeTriton())) as port, behind_a_slow_way(port, delay_s=3) as slow:
            client = TritonGrpc(f"127.0.0.1:{slow}")
            await ready_soon(client)
            await client.close()

    asyncio.run(run())


@pytest.mark.usefixtures("hasty")
def test_a_study_that_a_stopping_server_still_works_on_is_answered_although_nobody_else_is_there(
    opened: list[str],
) -> None:
    """It takes no new connection, so the channel gives way; its calls go on."""
    going_on, release = asyncio.Event(), asyncio.Event()

    async def slow(model: str, tensors: Any) -> Any:
        going_on.set()
        await release.wait()
        return FakeTriton().answer(model, tensors)

    async def run() -> None:
        servicer = Servicer(FakeTriton(slow))
        stopping = asyncio.Event()

        async def serve(ports: list[int]) -> None:
            async with served(servicer, stop_grace_s=60) as port:
                ports.append(port)
                await stopping.wait()

        ports: list[int] = []
        serving = asyncio.create_task(serve(ports))
        await until(lambda: bool(ports))
        client = TritonGrpc(f"127.0.0.1:{ports[0]}")
        call = asyncio.create_task(infer(client, timeout_s=60))
        await going_on.wait()
        stopping.set()
        await until(lambda: len(opened) > 1)
        release.set()
        assert (await call).model_version == "1"
        await client.close()
        await serving

    asyncio.run(run())
