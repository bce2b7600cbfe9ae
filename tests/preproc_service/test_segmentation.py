"""Slices to maps to what is marked: batches, shares, square mm and ml by hand, the slice shown, mask, pictures."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image

from radserve_contract.findings import Findings, ImageDescription, ModelIdentity, Notice, VolumeGeometry
from radserve_contract.pipelines import spine
from radserve_contract.pipelines.covid_lung import DEPLOYED, NETWORK
from radserve_contract.spec import Comparison, Threshold
from radserve_preproc import frame, render_heatmap
from radserve_preproc.errors import BadModelOutput, NotAcceptable
from radserve_preproc.fuse_segmentation import marked, packed, resized, thicknesses_mm, unpacked
from radserve_preproc.render_heatmap import HOT
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.segmentation import PAINTED, TASK
from radserve_preproc.tasks.task import Analysis, Outcome, Picture

SIDE = NETWORK.inputs[0].dims[-1]
ROWS, COLUMNS = 56, 28  # the network's side is a multiple of both, so that maps come back without a blurred edge
Maps = Callable[[int], np.ndarray | float]


class FakeNetworks:
    """Answers slice ``k``, whose first pixel is ``k`` grey levels bright, with the map ``maps(k)``."""

    def __init__(self, maps: Maps) -> None:
        self.profile = DEPLOYED
        self.detect = None
        self.maps = maps
        self.sizes: list[int] = []
        self.under_way = self.most_under_way = 0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        yield

    async def prepare(self, function: Callable[[], Any]) -> Any:
        # in this thread: that two batches are under way together then never depends on the machine's load
        return function()

    async def ask(self, model: str, tensors: Mapping[str, np.ndarray], *, stage: str) -> Mapping[str, np.ndarray]:
        assert (model, [*tensors], stage) == (NETWORK.name, ["image"], "segment")
        numbers = tensors["image"][:, 0, 0, 0].tolist()
        self.sizes.append(len(numbers))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.01 / (1 + numbers[0]))  # later batches answer first
        self.under_way -= 1
        answer = np.empty((len(numbers), 1, SIDE, SIDE), np.float32)
        for target, number in zip(answer, numbers, strict=True):
            target[0] = self.maps(number)
        return {"probability": answer}


def geometry(slices: int, spacing_mm: tuple[float, float, float] = (0.5, 0.8, 5.0)) -> VolumeGeometry:
    return VolumeGeometry((10.0, 20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), spacing_mm, (slices, ROWS, COLUMNS))


def pictures(slices: int) -> DecodedImage:
    """Slices of 8 bits, of which nothing is known."""
    pixels = np.broadcast_to(np.arange(slices, dtype=np.uint8)[:, None, None], (slices, ROWS, COLUMNS)).copy()
    return DecodedImage(pixels, ImageDescription("PNG", ROWS, COLUMNS))


def volume(positions_mm: list[float], **more: Any) -> DecodedImage:
    """The same with a place in the patient."""
    count = len(positions_mm)
    description = ImageDescription("DICOM", ROWS, COLUMNS, slices=count, geometry=geometry(count))
    image = replace(pictures(count), description=description, positions_mm=np.array(positions_mm))
    return replace(image, **more)


def top(rows: int, probability: float = 0.9, elsewhere: float = 0.1) -> np.ndarray:
    """A map that is ``probability`` in the upper ``rows`` of 56."""
    found = np.full((SIDE, SIDE), elsewhere, np.float32)
    found[: rows * SIDE // ROWS] = probability
    return found


def outcome_of(image: DecodedImage, maps: Maps) -> tuple[Outcome, FakeNetworks]:
    networks = FakeNetworks(maps)
    return asyncio.run(TASK.run(networks, image)), networks


@pytest.mark.parametrize(
    ("slices", "sizes"), [(1, [1]), (8, [8]), (9, [8, 1]), (60, [8] * 7 + [4])], ids=["1", "8", "9", "60"]
)
def test_a_volume_goes_in_full_batches_two_at_a_time_and_comes_back_in_order(slices: int, sizes: list[int]) -> None:
    outcome, networks = outcome_of(pictures(slices), lambda number: top(number % 40))

    assert sorted(networks.sizes, reverse=True) == sizes
    assert networks.most_under_way == min(2, len(sizes))
    expected = [number % 40 / ROWS for number in range(slices)]
    assert outcome.segmentation.fraction_per_slice == pytest.approx(expected)


def test_what_the_profile_asks_for_is_marked_and_reported() -> None:
    outcome, _ = outcome_of(pictures(1), lambda _: top(14, probability=0.5))

    found = outcome.segmentation
    assert (found.label, found.threshold, found.comparison) == ("infection", 0.5, ">=")
    assert found.fraction == pytest.approx(0.25)
    assert found.status == "marked"
    assert found.most_probable == pytest.approx(0.5)
    assert outcome.changes == ()


def test_below_the_threshold_nothing_is_marked() -> None:
    outcome, _ = outcome_of(pictures(2), lambda _: 0.4999)

    assert outcome.segmentation.status == "nothing marked"
    assert outcome.segmentation.fraction_per_slice == (0, 0)
    assert outcome.segmentation.most_probable == pytest.approx(0.4999)


def test_a_threshold_that_must_be_exceeded_does_not_mark_what_reaches_it() -> None:
    maps = np.array([[[0.5, 0.51]]], np.float32)
    assert marked(maps, (1, 2), Threshold(0.5, Comparison.GREATER)).tolist() == [[[False, True]]]
    assert marked(maps, (1, 2), Threshold(0.5, Comparison.GREATER_EQUAL)).all()


def test_one_slice_with_spacing_has_an_area_and_no_volume() -> None:
    outcome, _ = outcome_of(volume([0.0]), lambda _: top(14))

    assert outcome.segmentation.area_mm2 == pytest.approx(14 * 28 * 0.5 * 0.8)
    assert outcome.segmentation.volume_ml is None


def test_a_slice_without_position_has_an_area_from_its_pixel_spacing() -> None:
    description = ImageDescription("DICOM", ROWS, COLUMNS, pixel_spacing_mm=(0.8, 0.5))
    outcome, _ = outcome_of(replace(pictures(1), description=description), lambda _: top(14))

    assert outcome.segmentation.area_mm2 == pytest.approx(14 * 28 * 0.5 * 0.8)


def test_a_picture_has_neither_area_nor_volume() -> None:
    for slices in (1, 3):
        outcome, _ = outcome_of(pictures(slices), lambda _: top(14))
        assert (outcome.segmentation.area_mm2, outcome.segmentation.volume_ml) == (None, None)


def test_slices_count_by_their_own_thickness() -> None:
    # from the first on: 5, 5, then a gap, then 10 mm. Thick: 5, 5, 10 (2.5 + 7.5), 12.5 (7.5 + 5), 10
    positions = [0.0, 5.0, 10.0, 25.0, 35.0]
    assert thicknesses_mm(volume(positions)).tolist() == [5, 5, 10, 12.5, 10]

    outcome, _ = outcome_of(volume(positions), lambda number: top(28) if number == 3 else 0.0)

    slice_mm2 = 56 * 28 * 0.5 * 0.8
    assert outcome.segmentation.volume_ml == pytest.approx(0.5 * slice_mm2 * 12.5 / 1000)
    assert outcome.segmentation.fraction == pytest.approx(0.5 * 12.5 / 42.5)
    assert outcome.segmentation.area_mm2 is None


def test_an_even_volume_is_its_voxels_times_their_size() -> None:
    outcome, _ = outcome_of(volume([0.0, 5.0, 10.0, 15.0]), lambda number: top(14 * number))

    voxels = 14 * (0 + 1 + 2 + 3) * 28
    assert outcome.segmentation.volume_ml == pytest.approx(voxels * 0.5 * 0.8 * 5.0 / 1000)
    assert outcome.segmentation.fraction == pytest.approx(voxels / (4 * 56 * 28))


@pytest.mark.parametrize("code", ["MISSING_SPACING", "MISSING_POSITION"])
def test_no_volume_is_made_of_distances_that_were_assumed(code: str) -> None:
    assumed = (Notice(code, "assumed"),)
    outcome, _ = outcome_of(volume([0.0, 1.0], warnings=assumed), lambda _: top(14))
    assert outcome.segmentation.volume_ml is None
    assert outcome.segmentation.fraction == pytest.approx(0.25)

    single, _ = outcome_of(volume([0.0], warnings=assumed), lambda _: top(14))
    assert (single.segmentation.area_mm2 is None) == (code == "MISSING_SPACING")


def test_values_that_are_no_picture_are_scaled_and_that_is_said() -> None:
    pixels = np.broadcast_to(np.linspace(-1000, 400, COLUMNS), (1, ROWS, COLUMNS))
    for dtype in (np.int16, np.float32):
        outcome, _ = outcome_of(replace(pictures(1), pixels=pixels.astype(dtype)), lambda _: 0.0)
        assert outcome.changes == (PAINTED,)


@pytest.mark.parametrize("wrong", [1.01, -0.01, float("nan")])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    def maps(number: int) -> np.ndarray:
        found = top(10)
        found[5, 5] = wrong if number == 9 else 0.0
        return found

    with pytest.raises(BadModelOutput, match=r"outside 0\.\.1"):
        outcome_of(pictures(10), maps)


def test_a_task_is_not_run_with_a_profile_of_another_kind() -> None:
    networks = FakeNetworks(lambda _: 0.0)
    networks.profile = spine.DEPLOYED
    with pytest.raises(TypeError, match="FilmProfile"):
        asyncio.run(TASK.run(networks, pictures(1)))


def test_maps_are_enlarged_smoothly_and_reduced_by_area() -> None:
    edge = np.zeros((4, 4), np.float32)
    edge[:, 2:] = 1
    larger = resized(edge, (8, 8))
    assert larger[0].tolist() == [0, 0, 0, 0.25, 0.75, 1, 1, 1]
    assert resized(edge, (2, 2)).tolist() == [[0, 1], [0, 1]]
    fine = np.zeros((6, 6), np.float32)
    fine[0, 0] = 1  # a sample of every third pixel would miss it or take it whole
    assert resized(fine, (2, 2))[0, 0] == pytest.approx(1 / 9)


def test_a_mask_comes_back_from_its_bits() -> None:
    mask = np.random.default_rng(0).random((3, 5, 13)) > 0.5
    bits = packed(mask)
    assert bits.nbytes == 3 * 5 * 2
    assert np.array_equal(unpacked(bits, 13), mask)


def analysis(image: DecodedImage, maps: Maps, *, trained: bool = True) -> Analysis:
    outcome, _ = outcome_of(image, maps)
    findings = Findings(
        pipeline="covid_lung",
        profile="deployed",
        image=image.description,
        models=(ModelIdentity("covid_lung", "1", "ab", trained),),
        warnings=(),
        changes=outcome.changes,
        timings_s={},
        segmentation=outcome.segmentation,
    )
    return Analysis(image, findings, DEPLOYED, outcome.maps)


def test_of_a_volume_only_one_map_and_a_bit_for_each_voxel_are_kept() -> None:
    outcome, _ = outcome_of(pictures(60), lambda number: top(number % 40))
    assert sum(values.nbytes for values in outcome.maps.values()) < SIDE * SIDE * 4 + 60 * ROWS * (COLUMNS / 8 + 1) + 9


@pytest.mark.parametrize(
    ("maps", "shown"),
    [
        (lambda number: top(30 if number == 11 else number % 20), 11),
        (lambda number: top(20, probability=0.95 if number == 17 else 0.8), 17),
        (lambda _: top(20), 0),
        (lambda number: 0.3 if number == 18 else 0.2, 18),
    ],
    ids=["largest area", "of equals the most probable", "of equals the first", "nothing marked"],
)
def test_pictures_show_the_slice_with_the_most(maps: Maps, shown: int) -> None:
    found = analysis(pictures(20), maps)
    assert int(found.maps["shown"]) == shown
    assert np.array_equal(found.maps["probability"], np.broadcast_to(np.float32(maps(shown)), (SIDE, SIDE)))


def drawn(found: Analysis, monkeypatch: pytest.MonkeyPatch, **options: Any) -> tuple[np.ndarray, list[str]]:
    """The picture without its words, and the words."""
    said: list[str] = []
    inside: list[Image.Image] = []

    def framed(picture: Image.Image, words: Any, findings: Findings) -> bytes:
        said.extend(line.text for line in words)
        inside.append(picture)
        return frame.framed(picture, words, findings)

    monkeypatch.setattr(render_heatmap, "framed", framed)
    content = TASK.draw(found, Picture(full_size=True, **options))
    with Image.open(BytesIO(content)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.height > inside[0].height
    return np.asarray(inside[0]), said


def test_colours_go_from_0_to_1_whatever_is_in_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    image = replace(pictures(1), pixels=np.full((1, 500, 500), 100, np.uint8))
    for probability in (0.002, 0.25, 0.998):
        picture, _ = drawn(analysis(image, lambda _, value=probability: value), monkeypatch)
        expected = np.rint(50 + HOT[int(probability * 256)] / 2)
        assert np.abs(picture[250, 250] - expected).max() <= 1


def test_auto_scale_gives_both_their_own_range_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.full((1, 448, 448), 100, np.uint8)
    grey[:, :, 224:] = 120
    faint = np.full((SIDE, SIDE), 1e-6, np.float32)
    faint[224:] = 3e-6
    found = analysis(replace(pictures(1), pixels=grey), lambda _: faint)

    picture, said = drawn(found, monkeypatch, scale="auto")

    corners = picture[100:400:299, 100:400:299].astype(int)
    expected = [[(grey + HOT[level].astype(int)) / 2 for grey in (0, 255)] for level in (0, 255)]
    assert np.abs(corners - np.array(expected)).max() <= 1
    assert any("AUTO SCALE" in line and "1e-06" in line and "3e-06" in line for line in said)
    fixed, words = drawn(found, monkeypatch)
    assert np.ptp(fixed[100:400, 100].astype(int), axis=0).max() == 0
    assert not any("AUTO" in line for line in words)


def test_the_headline_says_how_much_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = drawn(analysis(volume([0.0, 5.0, 10.0]), lambda number: top(28 if number == 1 else 0)), monkeypatch)
    assert said[0].startswith("INFECTION MARKED   16.67% of the scan   1.6 ml")
    assert "slice 1 of 0 to 2, that with the largest marked area: 50.00% of it" in said[1]

    _, said = drawn(analysis(volume([0.0]), lambda _: top(28)), monkeypatch)
    assert said[0].startswith("INFECTION MARKED   50.00% of the image   314 mm2")
    assert "slice" not in said[1]

    _, said = drawn(analysis(pictures(2), lambda _: 0.25), monkeypatch)
    assert said[0] == "NO INFECTION MARKED   highest probability 0.250"
    assert "slice 0 of 0 to 1, that with the highest probability" in said[1]


def test_the_picture_is_the_slices_own_size_or_fit_for_a_screen() -> None:
    image = replace(pictures(1), pixels=np.full((1, 512, 640), 100, np.uint8))
    sizes = {}
    for full_size in (True, False):
        with Image.open(BytesIO(TASK.draw(analysis(image, lambda _: 0.2), Picture(full_size=full_size)))) as picture:
            sizes[full_size] = picture.width
    assert sizes == {True: 640, False: 1280}


def test_a_small_slice_stands_in_the_middle_above_its_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    image = replace(pictures(1), pixels=np.full((1, 100, 100), 255, np.uint8))
    picture, _ = drawn(analysis(image, lambda _: 1.0), monkeypatch)
    assert picture.shape[1] == 400
    assert (picture[:100, 150:250] == 255).all()
    assert not picture[:100, :150].any()
    assert (picture[100:].max(axis=(0, 1)) == 255).all()  # the legend


def test_the_mask_lies_on_the_volumes_grid_and_counts_what_the_answer_says() -> None:
    found = analysis(volume([0.0, 5.0, 10.0]), lambda number: top(14 * number))
    image = nibabel.Nifti1Image.from_bytes(gzip.decompress(TASK.nifti(found)))
    voxels = np.asarray(image.dataobj)
    assert voxels.shape == (COLUMNS, ROWS, 3)
    assert [int(voxels[..., k].sum()) for k in range(3)] == [0, 14 * COLUMNS, 28 * COLUMNS]
    assert voxels[:, :28, 2].all()  # the upper rows
    np.testing.assert_allclose(image.header.get_zooms(), (0.5, 0.8, 5.0), rtol=1e-6)
    millilitres = voxels.sum() * np.prod(image.header.get_zooms()) / 1000
    assert millilitres == pytest.approx(found.findings.segmentation.volume_ml)


def test_a_picture_has_no_mask_in_the_patient() -> None:
    with pytest.raises(NotAcceptable, match="nothing says where its pixels lie") as caught:
        TASK.nifti(analysis(pictures(1), lambda _: top(10)))
    assert caught.value.http_status == 406
