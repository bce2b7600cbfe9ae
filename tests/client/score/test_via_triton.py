"""``--via triton``: what answers, what is refused, and items through real worker processes."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radserve_client.score.errors import MissingExtra, ServerRefuses, WrongUse
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.read import Access
from radserve_client.score.sources.files import item_of_file
from radserve_client.score.via_triton import TritonWay
from radserve_client.score.way import Ask, Gone
from radserve_contract.pipelines.spine import DEPLOYED
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, digest_of, published, spine_outputs
from tests.fake_triton_server import Servicer, served_in_thread

SPINE = Ask("spine")
NOWHERE = "127.0.0.1:1"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server that speaks Triton's protocol."""
    with served_in_thread(Servicer(FakeTriton())) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def other_release() -> Iterator[str]:
    """Another one, with other models."""
    with served_in_thread(Servicer(FakeTriton(spine_outputs(), published(DEPLOYED, release="b")))) as port:
        yield f"127.0.0.1:{port}"


def with_way(addresses: list[str], work: Callable[[TritonWay], Awaitable[Any]], **options: Any) -> Any:
    async def run() -> Any:
        way = TritonWay(options.pop("ask", SPINE), Access(), addresses, **options)
        try:
            async with asyncio.timeout(300):
                return await work(way)
        finally:
            await way.close()

    return asyncio.run(run())


def models(way: TritonWay) -> Awaitable[Any]:
    return way.models()


def test_it_says_what_answers_without_the_ensembles(address: str) -> None:
    served = with_way([address], models)
    assert (served.pipeline, served.profile) == ("spine", "deployed")
    assert {model.name: model.digest for model in served.models} == {
        name: digest_of(name) for name, model in published(DEPLOYED).items() if model.parameters
    }


def test_an_address_where_nobody_is_does_not_matter_while_another_answers(address: str) -> None:
    assert with_way([NOWHERE, address], models) == with_way([address], models)


def test_nobody_anywhere_is_gone() -> None:
    with pytest.raises(Gone) as caught:
        with_way([NOWHERE, "127.0.0.1:2"], models)
    assert caught.value.code == "TRITON_UNAVAILABLE"
    assert "127.0.0.1:1" in caught.value.message


def test_two_addresses_with_different_models_are_refused_and_named(address: str, other_release: str) -> None:
    with pytest.raises(ServerRefuses) as caught:
        with_way([address, other_release], models)
    message = caught.value.message
    assert address in message
    assert other_release in message
    assert "different models" in message


def test_a_profile_that_is_not_loaded_is_refused_not_waited_for(address: str) -> None:
    with pytest.raises(ServerRefuses, match="published"):
        with_way([address], models, ask=Ask("spine", profile="published"))


def test_models_that_are_not_ready_are_waited_for() -> None:
    triton = FakeTriton()
    triton.not_ready.add("spine_densenet121")
    with served_in_thread(Servicer(triton)) as port, pytest.raises(Gone) as caught:
        with_way([f"127.0.0.1:{port}"], models)
    assert caught.value.code == "MODEL_NOT_READY"


@pytest.mark.parametrize("address", ["", "triton", "http://triton:8001", "triton:", "triton:grpc", "a b:8001"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(WrongUse, match="host:port"):
        with_way([address], models)


@pytest.mark.parametrize("address", ["triton:8001", "10.0.0.7:8001", "triton.ns.svc.cluster.local:8001", "[::1]:8001"])
def test_names_and_numbers_are_addresses(address: str) -> None:
    async def nothing(way: TritonWay) -> None:
        return None

    with_way([address], nothing)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "0 workers"),
        ({"ask": Ask("spines")}, "no pipeline spines"),
        ({"ask": Ask("spine", profile="x")}, "no profile x"),
        ({"ask": Ask("hemorrhage", mask=True)}, "--mask: hemorrhage marks no pixels"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(options: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        with_way([NOWHERE], models, **options)
    with pytest.raises(WrongUse, match="no Triton address"):
        with_way([], models)


def test_without_the_decoders_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"radserve-client\[local\]"):
        with_way([NOWHERE], models)


def test_items_go_through_worker_processes(address: str, tmp_path: Path) -> None:
    film, words = tmp_path / "film.dcm", tmp_path / "words"
    film.write_bytes(make_radiograph())
    words.write_bytes(b"no image")

    async def work(way: TritonWay) -> Any:
        items = [item_of_file(str(path)) for path in [film, words] * 6]
        return [await asyncio.gather(*(_score(way, item) for item in items)), len(way.pids)]

    outcomes, workers = with_way([address], work, workers=2)
    assert [type(outcome) for outcome in outcomes] == [Scored, Failed] * 6
    assert {outcome.document["decision"]["label"] for outcome in outcomes[::2]} == {"abnormal"}
    assert {outcome.code for outcome in outcomes[1::2]} == {"UNSUPPORTED_FILE"}
    assert workers == 2


def test_what_only_a_worker_finds_wrong_ends_the_run_in_words(address: str, tmp_path: Path) -> None:
    (tmp_path / "film.dcm").write_bytes(make_radiograph())

    async def work(way: TritonWay) -> Any:
        return await _score(way, item_of_file(str(tmp_path / "film.dcm")))

    with pytest.raises(WrongUse, match="--detect"):
        with_way([address], work, ask=Ask("spine", detect="sometimes"), workers=1)


async def _score(way: TritonWay, item: Any) -> Any:
    return await way.score(item, await way.read(item))
