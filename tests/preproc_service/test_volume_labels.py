"""The task of a whole volume's labels: one request, 14 labels on their thresholds, a montage of what was seen."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from radserve_contract.findings import Findings, ImageDescription, ModelIdentity, VolumeGeometry
from radserve_contract.pipelines.head_ct import DEPLOYED, NAMES
from radserve_contract.pipelines.spine import DEPLOYED as FILM
from radserve_preproc.detect import Detect
from radserve_preproc.errors import BadModelOutput, UnfitVolume
from radserve_preproc.render_montage import tiled
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.task import Analysis, Outcome, Picture
from radserve_preproc.tasks.volume_labels import STACK, TASK

SCORES = np.linspace(0.05, 0.95, 14, dtype=np.float32)


class FakeNetworks:
    """Answers every request with ``scores``; keeps what was asked."""

    def __init__(self, scores: np.ndarray = SCORES, profile=DEPLOYED) -> None:
        self.profile, self.detect, self.scores = profile, Detect.AUTO, scores
        self.asked: list[tuple] = []

    def classes(self, model: str):
        return ()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        yield

    async def prepare(self, function):
        return function()

    async def ask(self, model, tensors, *, stage):
        self.asked.append((model, tensors, stage))
        return {"probabilities": self.scores[None], "logits": np.zeros((1, 14), np.float32)}


def head(slices: int = 30) -> DecodedImage:
    """Slice ``k`` is 2k + 10 HU, with a bright line at the front."""
    pixels = np.broadcast_to((np.arange(slices, dtype=np.int16) * 2 + 10)[:, None, None], (slices, 128, 128)).copy()
    pixels[:, :10] = 90
    geometry = VolumeGeometry((0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), (1.0, 1.0, 5.0), pixels.shape)
    return DecodedImage(pixels, ImageDescription("CT series", 128, 128, slices=slices, geometry=geometry))


def run(networks: FakeNetworks, image: DecodedImage | None = None) -> Outcome:
    return asyncio.run(TASK.run(networks, image or head()))


def analysis(outcome: Outcome, *, trained: bool = True) -> Analysis:
    findings = Findings(
        pipeline="head_ct",
        profile=DEPLOYED.name,
        image=ImageDescription("CT series", 128, 128),
        models=(ModelIdentity("head_ct", "1", "0" * 64, trained),),
        warnings=(),
        changes=outcome.changes,
        timings_s={},
        labels=outcome.labels,
    )
    return Analysis(head(), findings, DEPLOYED, outcome.maps)


def montage(outcome: Outcome, *, full_size: bool = False, trained: bool = True) -> np.ndarray:
    content = TASK.draw(analysis(outcome, trained=trained), Picture("montage", full_size=full_size))
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


def test_the_network_is_asked_once_about_one_item():
    networks = FakeNetworks()

    outcome = run(networks)

    ((model, tensors, stage),) = networks.asked
    assert (model, stage, list(tensors)) == ("head_ct", "classify", ["slices"])
    assert tensors["slices"].shape == (1, 28, 3, 224, 224)
    assert tensors["slices"].dtype == np.uint8
    np.testing.assert_array_equal(outcome.maps[STACK], tensors["slices"][0])


def test_every_label_is_judged_by_itself_in_the_contracts_order():
    labels = run(FakeNetworks()).labels

    assert [label.name for label in labels] == NAMES
    np.testing.assert_array_equal([label.probability for label in labels], SCORES)
    assert [label.status for label in labels] == ["absent"] * 7 + ["present"] * 7
    assert all(label.positive == (label.status == "present") and label.slice is None for label in labels)


def test_a_score_of_exactly_a_half_is_absent_as_in_the_trained_system():
    labels = run(FakeNetworks(np.full(14, 0.5, np.float32))).labels

    assert {label.status for label in labels} == {"absent"}
    assert {(label.threshold, label.comparison) for label in labels} == {(0.5, ">")}


def test_there_is_no_headline_and_ich_says_nothing_about_its_kinds():
    outcome = run(FakeNetworks(np.array([0.1, 0.9, *[0.1] * 12], np.float32)))

    assert outcome.decision is None
    assert [label.name for label in outcome.labels if label.positive] == ["IPH"]


def test_what_preparation_did_is_in_the_answer():
    changes = run(FakeNetworks()).changes

    assert any("middle 28 of 30 slices" in change for change in changes)


@pytest.mark.parametrize("score", [1.2, -0.1])
def test_a_score_that_is_no_probability_is_refused(score: float):
    scores = SCORES.copy()
    scores[3] = score

    with pytest.raises(BadModelOutput, match="probabilities outside"):
        run(FakeNetworks(scores))


def test_a_scan_that_cannot_be_resliced_is_never_asked_about():
    networks = FakeNetworks()

    with pytest.raises(UnfitVolume):
        run(networks, head(slices=6))

    assert networks.asked == []


def test_another_kind_of_profile_is_a_defect():
    with pytest.raises(TypeError, match="this task is for VolumeLabelsProfile"):
        run(FakeNetworks(profile=FILM))


def test_the_montage_shows_the_slices_as_the_network_saw_them():
    outcome = run(FakeNetworks())

    picture = montage(outcome, full_size=True)

    grid = tiled(outcome.maps[STACK][:, 0])
    assert grid.shape == (4 * 224, 7 * 224)
    top = next(row for row in range(len(picture)) if (picture[row, :, 0] == grid[0]).mean() > 0.9)
    shown = picture[top : top + len(grid), :, 0]
    tiles = [(shown[100 + 224 * (k // 7), 112 + 224 * (k % 7)], outcome.maps[STACK][k, 0, 100, 112]) for k in range(28)]
    assert all(seen == wanted for seen, wanted in tiles)
    assert len({int(wanted) for _, wanted in tiles}) == 28  # every slice has a grey of its own


def test_every_tile_is_numbered_at_its_upper_left():
    outcome = run(FakeNetworks())
    grid = tiled(outcome.maps[STACK][:, 0])

    picture = montage(outcome, full_size=True)

    top = next(row for row in range(len(picture)) if (picture[row, :, 0] == grid[0]).mean() > 0.9)
    drawn = (picture[top : top + len(grid), :, 0] != grid).reshape(4, 224, 7, 224).swapaxes(1, 2).reshape(28, 224, 224)
    assert drawn[:, :40, :50].any(axis=(1, 2)).all()
    assert not drawn[:, 60:].any()
    assert not drawn[:, :, 80:].any()
    assert len({tile[:40, :50].tobytes() for tile in drawn}) == 28


def test_on_a_screen_the_montage_is_1280_wide():
    assert montage(run(FakeNetworks())).shape[1] == 1280


def test_positive_labels_are_words_above_the_slices(monkeypatch):
    words: list[str] = []
    monkeypatch.setattr(
        "radserve_preproc.render_montage.framed",
        lambda picture, lines, findings, paint: words.extend(line.text for line in lines) or b"",
    )

    TASK.draw(analysis(run(FakeNetworks())), Picture("montage"))
    TASK.draw(analysis(run(FakeNetworks(np.zeros(14, np.float32)))), Picture("montage"))

    found, scores, about, none, about_none = words
    assert found == "7 of 14 findings positive"
    assert scores.startswith("MidlineShift present 0.950   MassEffect present 0.881")
    assert "IPH" not in scores
    assert "brain window 40 / 80 HU" in about
    assert "28 slices 5 mm apart, number 1 the lowest" in about
    assert none == "0 of 14 findings positive"
    assert about_none == about


def test_untrained_weights_are_written_on_the_montage():
    red = (200, 16, 46)
    outcome = run(FakeNetworks())

    assert (montage(outcome, trained=False) == red).all(axis=2).any()
    assert not (montage(outcome) == red).all(axis=2).any()


def test_a_last_row_that_is_not_full_is_black():
    grid = tiled(np.full((9, 4, 5), 200, np.uint8))

    assert grid.shape == (8, 35)
    assert (grid[4:, :10] == 200).all()
    assert (grid[4:, 10:] == 0).all()
