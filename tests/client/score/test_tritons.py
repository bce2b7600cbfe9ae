"""Several Tritons: which one gets a study, what becomes of one that goes, and of one that comes back as another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from radserve_client.score import tritons
from radserve_client.score.tritons import Tritons
from radserve_contract.pipelines import spine
from radserve_preproc.errors import Unavailable
from radserve_preproc.metrics import Metrics
from radserve_preproc.service import Service, build_service
from radserve_preproc.settings import Settings
from tests.fake_triton import FakeTriton, published

AWAY = Unavailable("nobody there")


@pytest.fixture(autouse=True)
def quick_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tritons, "PROBE_PAUSE_S", 0.01)


def with_tritons(fakes: list[FakeTriton], work: Callable[[Tritons], Awaitable[Any]], first: int = 0) -> Any:
    async def run() -> Any:
        services = [
            build_service(Settings(triton_address=f"t{number}:1"), (spine.SPEC,), fake, Metrics())
            for number, fake in enumerate(fakes)
        ]
        several = Tritons(services, spine.DEPLOYED, first=first)
        try:
            async with asyncio.timeout(300):
                return await work(several)
        finally:
            await several.close()

    return asyncio.run(run())


async def ask(service: Service) -> str:
    """A study in short: what is loaded, then a call."""
    await service.catalogue.require(spine.DEPLOYED)
    await service.triton.ready("spine")
    return service.settings.triton_address


async def until(several: Tritons, address: str) -> None:
    """Send studies until one is answered at ``address``."""
    while await several.use(ask) != address:  # noqa: ASYNC110  # nobody tells when
        await asyncio.sleep(0.01)


def test_studies_one_after_the_other_take_turns() -> None:
    async def work(several: Tritons) -> list[str]:
        return [await several.use(ask) for _ in range(4)]

    assert with_tritons([FakeTriton(), FakeTriton()], work) == ["t0:1", "t1:1", "t0:1", "t1:1"]


def test_another_worker_begins_with_another_address() -> None:
    async def work(several: Tritons) -> list[str]:
        return [await several.use(ask) for _ in range(3)]

    assert with_tritons([FakeTriton(), FakeTriton(), FakeTriton()], work, first=4) == ["t1:1", "t2:1", "t0:1"]


def test_the_one_with_the_least_to_do_gets_the_next_study() -> None:
    async def work(several: Tritons) -> list[str]:
        go_on = asyncio.Event()
        asked: list[str] = []

        async def slow(service: Service) -> None:
            asked.append(service.settings.triton_address)
            await go_on.wait()

        first = asyncio.create_task(several.use(slow))
        await asyncio.sleep(0)
        asked += [await several.use(ask) for _ in range(3)]
        go_on.set()
        await first
        return asked

    assert with_tritons([FakeTriton(), FakeTriton()], work) == ["t0:1", "t1:1", "t1:1", "t1:1"]


def test_a_study_whose_triton_is_away_goes_to_another_and_that_one_is_left_out_until_it_is_back() -> None:
    gone, there = FakeTriton(), FakeTriton()
    gone.down = AWAY

    async def work(several: Tritons) -> None:
        assert [await several.use(ask) for _ in range(5)] == ["t1:1"] * 5
        gone.down = None
        await until(several, "t0:1")

    with_tritons([gone, there], work)


def test_when_all_are_away_it_says_so_and_each_was_tried() -> None:
    fakes = [FakeTriton(), FakeTriton()]
    for fake in fakes:
        fake.down = AWAY

    async def work(several: Tritons) -> None:
        tried: list[str] = []

        async def note(service: Service) -> str:
            tried.append(service.settings.triton_address)
            return await ask(service)

        for _ in range(2):  # the second time, too, although both are left out by then
            tried.clear()
            with pytest.raises(Unavailable, match="nobody there"):
                await several.use(note)
            assert sorted(tried) == ["t0:1", "t1:1"]

    with_tritons(fakes, work)


def test_the_only_one_is_used_again_at_once() -> None:
    triton = FakeTriton()

    async def work(several: Tritons) -> str:
        triton.down = AWAY
        with pytest.raises(Unavailable):
            await several.use(ask)
        triton.down = None
        return await several.use(ask)

    assert with_tritons([triton], work) == "t0:1"


def test_one_that_comes_back_with_other_models_stays_left_out(caplog: pytest.LogCaptureFixture) -> None:
    upgraded, there = FakeTriton(), FakeTriton()

    async def work(several: Tritons) -> None:
        await until(several, "t1:1")
        upgraded.down = AWAY
        await until(several, "t1:1")
        await until(several, "t1:1")  # by now the other was tried, and is away
        upgraded.models = published(spine.DEPLOYED, release="b")
        upgraded.connection += 1
        upgraded.down = None
        while "other models" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert [await several.use(ask) for _ in range(5)] == ["t1:1"] * 5
        there.down = AWAY  # nobody else is left: it is taken as it is
        await until(several, "t0:1")

    with_tritons([upgraded, there], work)
    assert caplog.text.count("other models") == 1, "said once, not every second"
    assert "t0:1" in caplog.text
