"""Slices to labels: batches, the maximum over a series, the headline, what cutting off is said to mean, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radserve_contract.findings import Findings, ImageDescription, ModelIdentity, VolumeGeometry
from radserve_contract.pipelines import spine
from radserve_contract.pipelines.hemorrhage import DEPLOYED, LABELS, NETWORK
from radserve_preproc import render_slice, render_slice_plot
from radserve_preproc.errors import BadModelOutput, Unavailable
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.batches import in_batches
from radserve_preproc.tasks.registry import task_of
from radserve_preproc.tasks.slice_labels import TASK
from radserve_preproc.tasks.task import Analysis, Outcome, Picture

NAMES = [label.name for label in LABELS]
ANY = NAMES.index("any")
QUIET = [0.1, 0.2, 0.3, 0.2, 0.1, 0.4]


class FakeNetworks:
    """Answers slice ``k``, whose pixels all have the value ``k``, with ``scores(k)``; remembers what it was asked."""

    def __init__(self, scores: Callable[[int], list[float]]) -> None:
        self.profile = DEPLOYED
        self.detect = None
        self.scores = scores
        self.sizes: list[int] = []
        self.under_way = self.most_under_way = 0

    def classes(self, model: str) -> list[str]:
        return []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        yield

    async def prepare(self, function: Callable[[], Any]) -> Any:
        # in this thread: that two batches are under way together then never depends on the machine's load
        return function()

    async def ask(self, model: str, tensors: Mapping[str, np.ndarray], *, stage: str) -> Mapping[str, np.ndarray]:
        assert (model, [*tensors], stage) == (NETWORK.name, ["image"], "classify")
        numbers = tensors["image"][:, 0, 0, 0].tolist()
        self.sizes.append(len(numbers))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.01 / (1 + numbers[0]))  # later batches answer first
        self.under_way -= 1
        found = np.array([self.scores(number) for number in numbers], np.float32)
        return {"probabilities": found, "logits": found}


def series(slices: int, **more: Any) -> DecodedImage:
    pixels = np.broadcast_to(np.arange(slices, dtype=np.int16)[:, None, None], (slices, 20, 30)).copy()
    return DecodedImage(pixels, ImageDescription("DICOM", 20, 30), **more)


def outcome_of(image: DecodedImage, scores: Callable[[int], list[float]]) -> tuple[Outcome, FakeNetworks]:
    networks = FakeNetworks(scores)
    return asyncio.run(TASK.run(networks, image)), networks


def scores_with(changes: Mapping[int, Mapping[str, float]]) -> Callable[[int], list[float]]:
    """Quiet scores, but for some labels of some slices."""
    return lambda number: [changes.get(number, {}).get(name, QUIET[column]) for column, name in enumerate(NAMES)]


@pytest.mark.parametrize(
    ("slices", "sizes"), [(1, [1]), (16, [16]), (17, [16, 1]), (40, [16, 16, 8]), (100, [16] * 6 + [4])]
)
def test_a_series_goes_in_full_batches_two_at_a_time_and_comes_back_in_order(slices: int, sizes: list[int]):
    outcome, networks = outcome_of(series(slices), lambda number: [number / 1000] * 6)

    assert sorted(networks.sizes, reverse=True) == sizes
    assert networks.most_under_way == min(2, len(sizes))
    if slices > 1:
        assert outcome.slices.probabilities["any"] == pytest.approx([number / 1000 for number in range(slices)])


def test_of_each_label_the_highest_score_counts_and_its_slice_is_named():
    scores = scores_with({3: {"subdural": 0.9, "any": 0.6}, 18: {"any": 0.8}, 19: {"epidural": 0.7}})

    outcome, _ = outcome_of(series(20), scores)

    found = {label.name: (label.probability, label.slice, label.status) for label in outcome.labels}
    assert found["subdural"] == (pytest.approx(0.9), 3, "present")
    assert found["epidural"] == (pytest.approx(0.7), 19, "present")
    assert found["any"] == (pytest.approx(0.8), 18, "haemorrhage")
    assert found["subarachnoid"] == (pytest.approx(0.2), 0, "absent")  # the first of equals
    assert [label.name for label in outcome.labels] == NAMES
    assert all(label.definition.endswith(".") for label in outcome.labels)


def test_the_headline_is_that_of_any_and_names_the_most_probable_subtype():
    outcome, _ = outcome_of(series(20), scores_with({3: {"subdural": 0.9}, 18: {"any": 0.8, "epidural": 0.7}}))

    assert outcome.decision.label == "haemorrhage: subdural"
    assert (outcome.decision.positive, outcome.decision.probability) == (True, pytest.approx(0.8))
    assert (outcome.decision.threshold, outcome.decision.comparison) == (0.5, ">")


@pytest.mark.parametrize("any_score", [0.0, 0.5])
def test_without_any_no_subtype_is_named_however_probable(any_score: float):
    outcome, _ = outcome_of(series(1), scores_with({0: {"subdural": 0.99, "any": any_score}}))

    assert outcome.decision.label == "no haemorrhage"
    assert not outcome.decision.positive
    assert outcome.labels[NAMES.index("subdural")].positive


def test_any_itself_is_never_the_subtype():
    outcome, _ = outcome_of(series(1), scores_with({0: {"any": 0.99}}))

    assert outcome.decision.label == "haemorrhage: intraventricular"


def test_a_single_slice_has_no_scores_along_a_series():
    outcome, _ = outcome_of(series(1), lambda _: QUIET)

    assert outcome.slices is None
    assert all(label.slice is None for label in outcome.labels)


@pytest.mark.parametrize("uids", [(), ("1.2.3", "1.2.4")])
def test_every_slice_has_its_uid_or_none(uids: tuple[str, ...]):
    outcome, _ = outcome_of(series(2, sop_instance_uids=uids), lambda _: QUIET)

    assert outcome.slices.sop_instance_uids == (uids or ("", ""))


@pytest.mark.parametrize("wrong", [1.01, -0.01, float("nan")])
def test_what_is_no_probability_is_refused(wrong: float):
    with pytest.raises(BadModelOutput, match=r"outside 0\.\.1"):
        outcome_of(series(3), scores_with({2: {"epidural": wrong}}))


def test_the_service_knows_the_task_by_its_kind_of_profile():
    assert task_of(DEPLOYED) is TASK


def test_a_task_is_not_run_with_a_profile_of_another_kind():
    networks = FakeNetworks(lambda _: QUIET)
    networks.profile = spine.DEPLOYED

    with pytest.raises(TypeError, match="FilmProfile"):
        asyncio.run(TASK.run(networks, series(1)))


def test_a_batch_that_fails_fails_the_study_and_nothing_stays_under_way():
    left: list[int] = []

    async def ask(slices: slice) -> int:
        if slices.start == 4:
            raise Unavailable("Triton is gone")
        try:
            await asyncio.sleep(5 if slices.start else 0)
        finally:
            left.append(slices.start)
        return slices.start

    with pytest.raises(Unavailable):
        asyncio.run(in_batches(20, 2, ask))

    assert sorted(left) == [0, 2]  # 2 was cancelled, 6 and later never asked


def test_nothing_is_asked_about_no_slices():
    async def ask(_: slice) -> None:
        raise AssertionError

    assert asyncio.run(in_batches(0, 16, ask)) == []


def clip_warnings(low: int, high: int, rescale: tuple[float, float] | None) -> list[str]:
    pixels = np.full((17, 10, 10), 100, np.int16)
    pixels[0, 0] = low
    pixels[16, :2] = high
    outcome, _ = outcome_of(DecodedImage(pixels, ImageDescription("DICOM", 10, 10), rescale=rescale), lambda _: QUIET)
    assert outcome.changes == (("stored values cut off at 0 and 255",) if outcome.warnings else ())
    assert {warning.code for warning in outcome.warnings} <= {"STORED_VALUES_CLIPPED"}
    return [warning.message for warning in outcome.warnings]


@pytest.mark.parametrize(
    ("rescale", "meaning"),
    [
        ((1, -1024), "With Rescale Slope 1 and Intercept -1024 that leaves -1024 to -769 HU: all tissue is white"),
        ((1, 0), "leaves 0 to 255 HU: brain and blood are seen"),
        ((1, -200), "leaves -200 to 55 HU: part of what tells brain from blood is lost"),
        ((1, 20), "leaves 20 to 275 HU: part of what tells brain from blood is lost"),
        ((0.5, -10), "With Rescale Slope 0.5 and Intercept -10 that leaves -10 to 117.5 HU: brain and blood are seen"),
        ((-1, 0), "leaves -255 to 0 HU: all tissue is white"),
        (None, "is not known"),
    ],
)
def test_what_was_cut_off_is_said_with_what_that_means(rescale: tuple[float, float] | None, meaning: str):
    (message,) = clip_warnings(-1, 256, rescale)

    assert message.startswith("1.2% of the stored values are over 255 and 0.6% under 0; the network saw them as 255")
    assert meaning in message


def test_nothing_is_said_when_nothing_was_cut_off():
    assert clip_warnings(0, 255, (1, -1024)) == []


def analysis(slices: int, scores: Callable[[int], list[float]], **more: Any) -> Analysis:
    image = series(slices, **more)
    outcome, _ = outcome_of(image, scores)
    findings = Findings(
        pipeline="hemorrhage",
        profile="deployed",
        image=image.description,
        models=(ModelIdentity("hemorrhage", "1", "ab", True),),
        warnings=outcome.warnings,
        changes=outcome.changes,
        timings_s={},
        decision=outcome.decision,
        labels=outcome.labels,
        slices=outcome.slices,
    )
    return Analysis(image, findings, DEPLOYED)


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines above the pictures that are drawn."""
    seen: list[str] = []
    for module in (render_slice, render_slice_plot):
        honest = module.framed

        def framed(picture: Image.Image, lines: Any, *rest: Any, honest: Any = honest) -> bytes:
            seen[:] = [line.text for line in lines]
            return honest(picture, lines, *rest)

        monkeypatch.setattr(module, "framed", framed)
    return seen


def drawn(found: Analysis, overlay: str | None, **more: Any) -> np.ndarray:
    png = TASK.draw(found, Picture(overlay, **more))
    return np.asarray(Image.open(BytesIO(png)))


def rows_filled_with(grey: int, pixels: np.ndarray) -> int:
    """How many rows have 30 pixels of that grey, as wide as the slices here."""
    return int(((pixels == grey).all(axis=2).sum(axis=1) == 30).sum())


def test_a_series_is_usually_plotted_and_a_slice_shown():
    many, one = analysis(5, lambda _: QUIET), analysis(1, lambda _: QUIET)

    assert np.array_equal(drawn(many, None), drawn(many, "plot"))
    assert np.array_equal(drawn(one, None), drawn(one, "slice"))


def test_the_slice_with_the_highest_score_of_any_is_shown(words: list[str]):
    found = analysis(7, scores_with({4: {"any": 0.9}, 6: {"subdural": 0.95}}))

    pixels = drawn(found, "slice", full_size=True)

    assert rows_filled_with(4, pixels) == 20  # slice 4, as the network saw it
    assert words[0] == "HAEMORRHAGE: SUBDURAL   score 0.900 > 0.5"
    assert words[1] == (
        "Most probable kind: subdural 0.950 in slice 6. Blood between the dura mater and the arachnoid,"
        " often crescent-shaped along the skull."
    )
    assert "slice 4 of 0 to 6, that of the highest score   shown as the network saw it" in words[2]


def test_a_negative_slice_has_no_subtype_and_no_definition(words: list[str]):
    drawn(analysis(1, lambda _: [0.9, 0.9, 0.9, 0.9, 0.9, 0.4]), "slice")

    assert words[0] == "NO HAEMORRHAGE   score 0.400 is not > 0.5"
    assert len(words) == 2
    assert "Most probable" not in words[1]


def test_with_a_rescale_the_slice_is_shown_in_the_brain_window_and_says_so(words: list[str]):
    found = analysis(60, scores_with({56: {"any": 0.9}}), rescale=(1.0, -16.0))

    pixels = drawn(found, "slice", full_size=True)

    assert rows_filled_with(127, pixels) == 20  # 40 HU of 0 to 80, on 0 to 255
    assert "shown in the brain window (40 / 80 HU); the network saw stored values 0 to 255" in words[2]


@pytest.mark.parametrize("overlay", ["slice", "plot"])
def test_untrained_weights_are_said_on_every_picture(overlay: str):
    found = analysis(3, lambda _: QUIET)
    untrained = replace(
        found, findings=replace(found.findings, models=(ModelIdentity("hemorrhage", "1", "ab", False),))
    )

    red = (drawn(untrained, overlay) == (200, 16, 46)).all(axis=2).sum()

    assert red > 5000
    assert (drawn(found, overlay) == (200, 16, 46)).all(axis=2).sum() == 0


def row_of_any(score: float) -> float:
    """Where the plot has its white line when every slice has that score; below the words, which are white too."""
    pixels = drawn(analysis(5, lambda _: [*QUIET[:ANY], score]), "plot")
    return float(np.flatnonzero((pixels[100:, 600:800] == 255).all(axis=(1, 2))).mean()) + 100


def test_the_plot_has_each_score_at_its_height():
    bottom, quarter = row_of_any(0.0), row_of_any(0.25)

    assert bottom - quarter == pytest.approx((bottom - row_of_any(0.5)) / 2, abs=1)
    assert quarter - row_of_any(0.4) == pytest.approx((bottom - quarter) * 0.6, abs=1)
    assert bottom - quarter > 100


def test_the_plot_goes_from_the_first_slice_to_the_last():
    pixels = drawn(analysis(2, lambda number: [*QUIET[:ANY], 0.4 * number]), "plot")

    rows, columns = np.nonzero((pixels[100:750] == 255).all(axis=2))
    line = columns < 950  # the legend is beyond
    assert rows[line][columns[line].argmin()] > rows[line][columns[line].argmax()] + 100


@pytest.mark.parametrize(("slices", "numbers"), [(1, [0]), (12, [*range(12)]), (28, [0, 5, 10, 15, 20, 25]), (300, 6)])
def test_the_axis_numbers_round_slices_and_never_too_many(slices: int, numbers: Any):
    found = [*render_slice_plot._numbered(slices)]

    assert (found if isinstance(numbers, list) else len(found)) == numbers


@pytest.mark.parametrize(
    ("upwards", "words"), [(1.0, ", from feet to head"), (-0.9, ", from head to feet"), (0.1, ""), (None, "")]
)
def test_the_axis_says_which_way_the_slices_go(upwards: float | None, words: str):
    geometry = None
    if upwards is not None:
        geometry = VolumeGeometry((0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, upwards), (1, 1, 1), (2, 3, 4))

    assert render_slice_plot._direction(geometry) == words


@pytest.mark.parametrize("slices", [1, 2, 41, 1000])
def test_plots_of_any_length_are_drawn(slices: int):
    pixels = drawn(analysis(slices, lambda number: [((number + i) % 10) / 10 for i in range(6)]), "plot")

    assert pixels.shape[1] == 1280
    for colour in (*render_slice_plot.LESION_COLOURS[:5], (255, 255, 255)):
        assert (pixels == colour).all(axis=2).any()


@pytest.mark.parametrize("overlay", ["slice", "plot"])
def test_findings_of_another_kind_are_no_slices(overlay: str):
    found = analysis(1, lambda _: QUIET)

    with pytest.raises(ValueError, match="have no"):
        TASK.draw(replace(found, findings=replace(found.findings, labels=(), decision=None)), Picture(overlay))
