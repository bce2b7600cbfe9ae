"""What the service knows of Triton's models, and when it asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from radserve_contract.pipelines import spine
from radserve_preproc.catalogue import Catalogue
from radserve_preproc.errors import ModelNotReady, ProfileNotLoaded, Unavailable
from radserve_preproc.triton import ServedModel
from tests.fake_triton import CLASSES, FakeTriton, digest_of, published

DEPLOYED, PUBLISHED = spine.DEPLOYED, spine.PUBLISHED
REFRESH_S = 10.0
Result = TypeVar("Result")


class Clock:
    """Seconds that move when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def run(triton: FakeTriton, use: Callable[[Catalogue, Clock], Awaitable[Result]]) -> Result:
    async def main() -> Result:
        clock = Clock()
        return await use(Catalogue(triton, refresh_s=REFRESH_S, clock=clock), clock)

    return asyncio.run(main())


def test_identities_are_those_of_the_networks_behind_an_ensemble() -> None:
    async def use(catalogue: Catalogue, clock: Clock) -> None:
        loaded = await catalogue.require(DEPLOYED)
        identities = loaded.identities(DEPLOYED.classification)
        assert [item.name for item in identities] == [
            "spine_densenet121",
            "spine_resnet50",
            "spine_efficientnetv2_s",
            "spine_fusion",
        ]
        assert {item.digest for item in identities} == {digest_of(item.name) for item in identities}
        assert [item.trained for item in identities] == [True, True, True, None]

    run(FakeTriton(), use)


def test_a_model_that_is_behind_two_calls_is_named_once() -> None:
    async def use(catalogue: Catalogue, clock: Clock) -> None:
        loaded = await catalogue.require(DEPLOYED)
        names = [item.name for item in loaded.identities(DEPLOYED.combined, DEPLOYED.detection.model)]
        assert len(names) == len(set(names)) == 5

    run(FakeTriton(), use)


def test_the_detectors_class_names_come_from_its_config() -> None:
    async def use(catalogue: Catalogue, clock: Clock) -> None:
        loaded = await catalogue.require(DEPLOYED)
        assert loaded.models[DEPLOYED.detection.model].classes == CLASSES

    run(FakeTriton(), use)


def test_a_profile_that_was_not_exported_is_not_loaded() -> None:
    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ProfileNotLoaded, match="published"):
            await catalogue.require(PUBLISHED)

    run(FakeTriton(), use)


@pytest.mark.parametrize("name", [model.name for model in DEPLOYED.models])
def test_one_model_that_is_not_ready_is_named(name: str) -> None:
    triton = FakeTriton()
    triton.not_ready = {name}

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady, match=f"^{name} is not ready$"):
            await catalogue.require(DEPLOYED)

    run(triton, use)


def test_one_model_that_is_missing_is_not_ready_rather_than_not_loaded() -> None:
    triton = FakeTriton()
    del triton.models["spine_resnet50"]

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady, match="spine_resnet50 is not in the served repository"):
            await catalogue.require(DEPLOYED)

    run(triton, use)


@pytest.mark.parametrize("parameter", ["radserve_digest_1", "radserve_trained_1"])
def test_a_network_that_does_not_say_what_it_is_does_not_answer(parameter: str) -> None:
    triton = FakeTriton()
    parameters = dict(triton.models["spine_resnet50"].parameters)
    del parameters[parameter]
    triton.models["spine_resnet50"] = ServedModel("1", parameters)

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady, match="spine_resnet50 version 1 does not say what it is"):
            await catalogue.require(DEPLOYED)

    run(triton, use)


def test_the_parameters_of_another_version_do_not_count() -> None:
    triton = FakeTriton()
    triton.models["spine_resnet50"] = ServedModel("2", triton.models["spine_resnet50"].parameters)

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady, match="version 2"):
            await catalogue.require(DEPLOYED)

    run(triton, use)


@pytest.mark.parametrize("text", ["not json", '{"a": 1}', "[1, 2]"])
def test_class_names_that_are_no_list_of_names_make_the_detector_unusable(text: str) -> None:
    triton = FakeTriton()
    name = DEPLOYED.detection.model
    triton.models[name] = ServedModel("1", {**triton.models[name].parameters, "radserve_classes_1": text})

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady, match=name):
            await catalogue.require(DEPLOYED)

    run(triton, use)


def test_what_is_known_is_believed_for_a_while_and_then_asked_again() -> None:
    triton = FakeTriton()

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        first = await catalogue.require(DEPLOYED)
        triton.models = published(DEPLOYED, release="b")
        clock.now = REFRESH_S - 0.1
        assert await catalogue.require(DEPLOYED) is first
        clock.now = REFRESH_S
        second = await catalogue.require(DEPLOYED)
        assert second.identities("spine_resnet50")[0].digest == digest_of("spine_resnet50", "b")

    run(triton, use)


def test_a_lost_connection_makes_it_ask_at_once() -> None:
    triton = FakeTriton()

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        await catalogue.require(DEPLOYED)
        triton.models = published(DEPLOYED, release="b")
        triton.connection += 1
        loaded = await catalogue.require(DEPLOYED)
        assert loaded.identities("spine_resnet50")[0].digest == digest_of("spine_resnet50", "b")

    run(triton, use)


def test_what_was_seen_over_a_lost_connection_is_no_longer_shown() -> None:
    triton = FakeTriton()

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        await catalogue.look(DEPLOYED)
        assert len(catalogue.known()) == 5
        triton.connection += 1
        assert catalogue.known() == []

    run(triton, use)


def test_of_two_sights_of_one_model_the_later_is_shown() -> None:
    triton = FakeTriton(models=published(DEPLOYED) | published(PUBLISHED))

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        await catalogue.look(DEPLOYED)
        triton.models = published(DEPLOYED, release="b") | published(PUBLISHED, release="b")
        clock.now = 1.0
        await catalogue.look(PUBLISHED)
        shown = {identity.name: identity.digest for identity in catalogue.known()}
        assert shown["spine_yolo11"] == digest_of("spine_yolo11", "b")
        assert shown["spine_resnet50"] == digest_of("spine_resnet50", "a")

    run(triton, use)


def test_a_fault_is_not_believed_for_long() -> None:
    triton = FakeTriton()
    triton.not_ready = {"spine_resnet50"}

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(ModelNotReady):
            await catalogue.require(DEPLOYED)
        triton.not_ready = set()
        clock.now = 1.0
        await catalogue.require(DEPLOYED)

    run(triton, use)


def test_a_study_during_which_triton_was_replaced_by_another_release_gets_no_answer() -> None:
    triton = FakeTriton()

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        before = await catalogue.require(DEPLOYED)
        triton.models = published(DEPLOYED, release="b")
        triton.connection += 1
        with pytest.raises(Unavailable, match="send the study again"):
            await catalogue.confirm(before)

    run(triton, use)


def test_a_study_during_which_triton_came_back_with_the_same_models_is_answered() -> None:
    triton = FakeTriton()

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        before = await catalogue.require(DEPLOYED)
        triton.connection += 1
        await catalogue.confirm(before)

    run(triton, use)


def test_many_who_ask_at_once_cost_triton_one_question() -> None:
    asked = []

    class Counting(FakeTriton):
        async def config(self, model: str) -> ServedModel | None:
            asked.append(model)
            await asyncio.sleep(0.01)
            return await super().config(model)

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        first, *others = await asyncio.gather(*(catalogue.require(DEPLOYED) for _ in range(20)))
        assert all(other is first for other in others)

    run(Counting(), use)
    assert len(asked) == len(DEPLOYED.models)


def test_one_who_stops_waiting_does_not_stop_the_others() -> None:
    class Slow(FakeTriton):
        async def config(self, model: str) -> ServedModel | None:
            await asyncio.sleep(0.05)
            return await super().config(model)

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        impatient, patient = (asyncio.create_task(catalogue.require(DEPLOYED)) for _ in range(2))
        await asyncio.sleep(0.01)
        impatient.cancel()
        assert (await patient).faults == []

    run(Slow(), use)


def test_a_triton_that_is_down_is_unavailable_and_nothing_is_remembered_of_it() -> None:
    triton = FakeTriton()
    triton.down = Unavailable("down")

    async def use(catalogue: Catalogue, clock: Clock) -> None:
        with pytest.raises(Unavailable, match="down"):
            await catalogue.require(DEPLOYED)
        triton.down = None
        await catalogue.require(DEPLOYED)

    run(triton, use)
