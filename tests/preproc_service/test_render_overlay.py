"""What an overlay shows: the film itself, every box where it belongs, and all that must be said about the result."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw

from radserve_contract.findings import (
    Box,
    Decision,
    Detections,
    Findings,
    ImageDescription,
    ModelIdentity,
    Notice,
)
from radserve_contract.pipelines import spine
from radserve_preproc.frame import RESEARCH_TEXT, UNTRAINED_TEXT
from radserve_preproc.overlay_style import (
    LESION_COLOURS,
    NARROWEST_PX,
    NEGATIVE,
    POSITIVE,
    UNTRAINED,
    lesion_colours,
    scalable_font,
)
from radserve_preproc.render_overlay import draw_boxes_on_film
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.task import Analysis, Picture
from tests.dicom_files import texture

LABELS = "Osteophytes,Surgical implant,Spondylolysthesis,Foraminal stenosis,Disc space narrowing,Vertebral collapse"
GREY = (texture(900, 700, bits=8) // 2 + 60).astype(np.uint8)
RGB = npt.NDArray[np.uint8]


def findings(boxes: tuple[Box, ...] = (), *, trained: bool = True, positive: bool = True, **other: Any) -> Findings:
    answer = Findings(
        pipeline="spine",
        profile="deployed",
        decision=Decision("abnormal" if positive else "normal", positive, 0.731 if positive else 0.12, 0.449, ">"),
        scores=(),
        detections=Detections(positive, "the study is normal", 0.25 if positive else None, boxes),
        image=ImageDescription("PNG", *GREY.shape),
        models=(ModelIdentity("spine_densenet121", "1", "0" * 64, trained),),
        warnings=(),
        changes=(),
        timings_s={},
    )
    return replace(answer, **other)


def drawn(answer: Findings, pixels: npt.NDArray[np.uint8] = GREY, *, full_size: bool = True) -> RGB:
    analysis = Analysis(DecodedImage(pixels, answer.image), answer, spine.DEPLOYED)
    png = draw_boxes_on_film(analysis, Picture(full_size=full_size))
    with Image.open(io.BytesIO(png)) as picture:
        assert (picture.format, picture.mode, picture.info) == ("PNG", "RGB", {})
        return np.asarray(picture)


def film_of(overlay: RGB, pixels: npt.NDArray[np.uint8] = GREY) -> tuple[int, int]:
    """Where the film begins on a full-size overlay: (row, column), found by its own pixels."""
    rows, columns = pixels.shape
    column = (overlay.shape[1] - columns) // 2
    for row in range(overlay.shape[0] - rows + 1):
        if np.array_equal(overlay[row + rows // 2, column : column + columns, 0], pixels[rows // 2]):
            return row, column
    raise AssertionError("the film is not on the overlay")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn, in order."""
    said: list[str] = []
    text = ImageDraw.ImageDraw.text

    def listen(self: ImageDraw.ImageDraw, xy: Any, words: str, *args: Any, **kwargs: Any) -> None:
        said.append(words)
        text(self, xy, words, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    return said


def test_without_boxes_the_film_is_there_pixel_by_pixel() -> None:
    overlay = drawn(findings())
    row, column = film_of(overlay)
    shown = overlay[row : row + 900, column : column + 700]
    assert all(np.array_equal(shown[..., channel], GREY) for channel in range(3))
    assert row > 0
    assert overlay.shape[0] > row + 900


@pytest.mark.parametrize("shape", [(2000, 1500), (300, 1000), (900, 700)])
def test_on_screen_the_longer_side_is_1280_and_the_aspect_stays(shape: tuple[int, int]) -> None:
    overlay = drawn(findings(), texture(*shape, bits=8).astype(np.uint8), full_size=False)
    width = round(1280 * shape[1] / max(shape))
    height = round(1280 * shape[0] / max(shape))
    assert overlay.shape[1] == width
    assert height < overlay.shape[0] < height + 160


@pytest.mark.parametrize("full_size", [True, False])
@pytest.mark.parametrize("shape", [(12_000, 60), (4000, 500), (60, 9000), (50, 50)])
def test_on_a_film_of_any_shape_every_word_lies_within_the_overlay(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], full_size: bool
) -> None:
    widths: list[tuple[float, int]] = []
    text = ImageDraw.ImageDraw.text

    def measure(self: ImageDraw.ImageDraw, xy: Any, words: str, *args: Any, **kwargs: Any) -> None:
        widths.append((xy[0] + kwargs["font"].getlength(words), self.im.size[0]))
        text(self, xy, words, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", measure)
    overlay = drawn(findings(), texture(*shape, bits=8).astype(np.uint8), full_size=full_size)
    assert widths
    assert all(right <= width for right, width in widths)
    assert overlay.shape[0] <= (shape[0] if full_size else 1280) + overlay.shape[1]


def test_a_box_is_drawn_along_its_edges_and_nowhere_else() -> None:
    overlay = drawn(findings((Box("Osteophytes", 0.9, 200, 300, 400, 500),)))
    row, column = film_of(drawn(findings()))
    film = overlay[row : row + 900, column : column + 700].astype(int)
    colour = lesion_colours(["Osteophytes"])["Osteophytes"]
    for y, x in ((300, 350), (499, 300), (400, 200), (400, 399)):
        assert tuple(film[y, x]) == colour
    changed = (film != GREY[..., None]).any(axis=2)
    assert not changed[310:490, 210:390].any()
    label_height = 40
    outside = changed.copy()
    outside[300 - label_height : 502, 198:402] = False
    assert not outside.any()


def test_on_screen_boxes_lie_where_they_lie_on_the_film() -> None:
    pixels = np.full((2000, 1600), 90, np.uint8)
    pixels[0, 0] = 0
    overlay = drawn(findings((Box("Osteophytes", 0.9, 500, 1000, 1000, 1500),)), pixels, full_size=False).astype(int)
    colour = np.array(lesion_colours(["Osteophytes"])["Osteophytes"])
    rows, columns = np.nonzero((overlay == colour).all(axis=2))
    header = overlay.shape[0] - 1280
    assert abs(columns.min() - 500 * 0.64) <= 2
    assert abs(columns.max() - 1000 * 0.64) <= 2
    assert 1500 * 0.64 <= rows.max() <= 1500 * 0.64 + header


BORDERS = [
    Box("Osteophytes", 0.9, 0, 0, 60, 40),
    Box("Vertebral collapse", 0.8, 640, 0, 700, 40),
    Box("Foraminal stenosis", 0.7, 0, 860, 60, 900),
    Box("Disc space narrowing", 0.6, 640, 860, 700, 900),
    Box("Surgical implant", 0.5, 0, 0, 700, 900),
    Box("Other lesions", 0.3, -40, -40, 900, 1000),
]


@pytest.mark.parametrize("box", BORDERS, ids=lambda box: box.label)
def test_a_label_stays_on_the_film_even_at_its_border(box: Box) -> None:
    plain, boxed = drawn(findings()), drawn(findings((box,)))
    assert plain.shape == boxed.shape
    changed = (plain != boxed).any(axis=2)
    row, column = film_of(plain)
    assert changed[row : row + 900, column : column + 700].sum() > 1000
    beside = changed.copy()
    beside[row - 1 : row + 901, column : column + 700] = False
    # above the film the line on the number of boxes may change, nothing else
    assert not beside[row:].any()


def test_labels_of_neighbouring_boxes_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[tuple[float, float]] = []
    text = ImageDraw.ImageDraw.text

    def listen(self: ImageDraw.ImageDraw, xy: tuple[float, float], words: str, *args: Any, **kwargs: Any) -> None:
        if "Osteophytes" in words:
            places.append(xy)
        text(self, xy, words, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    drawn(findings(tuple(Box("Osteophytes", 0.9 - 0.1 * n, 200, 300, 400 + n, 500 + n) for n in range(4))))
    width, height = scalable_font(13).getlength("Osteophytes 0.90"), 13
    assert len(places) == 4
    for number, (x, y) in enumerate(places):
        for other_x, other_y in places[number + 1 :]:
            assert abs(x - other_x) > width or abs(y - other_y) > height


def test_every_box_is_labelled_with_name_and_confidence(words: list[str]) -> None:
    drawn(findings((Box("Osteophytes", 0.876, 10, 10, 90, 90), Box("Surgical implant", 0.4, 300, 300, 400, 500))))
    assert {"Osteophytes 0.88", "Surgical implant 0.40"} <= set(words)


@pytest.mark.parametrize("full_size", [True, False])
@pytest.mark.parametrize("columns", [700, 60])
def test_untrained_weights_are_said_above_and_below_the_film(words: list[str], full_size: bool, columns: int) -> None:
    pixels = np.ascontiguousarray(GREY[:, :columns])
    overlay = drawn(findings(trained=False), pixels, full_size=full_size)
    assert " ".join(words).count(UNTRAINED_TEXT) == 2
    red = (overlay == UNTRAINED).all(axis=2).mean(axis=1) > 0.4
    assert red[: len(red) // 4].any()
    assert red[-len(red) // 4 :].any()


def test_trained_weights_have_no_banner(words: list[str]) -> None:
    overlay = drawn(findings(trained=True))
    assert UNTRAINED_TEXT not in " ".join(words)
    assert not (overlay == UNTRAINED).all(axis=2).any()


def test_one_untrained_model_of_several_is_enough(words: list[str]) -> None:
    models = tuple(ModelIdentity(f"model {n}", "1", "0" * 64, trained=n != 2) for n in range(4))
    drawn(findings(models=models))
    assert " ".join(words).count(UNTRAINED_TEXT) == 2


def test_research_use_is_always_said(words: list[str]) -> None:
    for answer in (findings(), findings(trained=False), findings(positive=False)):
        words.clear()
        drawn(answer)
        assert RESEARCH_TEXT in " ".join(words)


def test_the_decision_is_said_with_score_and_threshold(words: list[str]) -> None:
    assert (drawn(findings())[1, 1] == POSITIVE).all()
    assert "ABNORMAL   score 0.731 > 0.449" in words
    assert (drawn(findings(positive=False))[1, 1] == NEGATIVE).all()
    assert "NORMAL   score 0.120 is not > 0.449" in words


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (findings(), "no boxes over confidence 0.25"),
        (findings((BORDERS[0],)), "1 box over confidence 0.25"),
        (findings(tuple(BORDERS)), "6 boxes over confidence 0.25"),
        (findings(positive=False), "Detector not run: the study is normal"),
    ],
)
def test_profile_and_detector_are_said(words: list[str], answer: Findings, said: str) -> None:
    drawn(answer)
    assert f"spine, profile deployed   {said}" in words


def test_codes_of_warnings_are_said_once(words: list[str]) -> None:
    warnings = (Notice("LOSSY_COMPRESSION", ""), Notice("BODY_PART_UNKNOWN", ""), Notice("LOSSY_COMPRESSION", ""))
    drawn(findings(warnings=warnings))
    assert words[-1].endswith("Warnings: LOSSY_COMPRESSION, BODY_PART_UNKNOWN")


def test_a_stamp_has_room_for_its_words(words: list[str]) -> None:
    stamp = np.ascontiguousarray(GREY[:60, :50])
    overlay = drawn(findings((Box("Osteophytes", 0.9, 5, 5, 30, 30),), trained=False), stamp)
    assert overlay.shape[1] == NARROWEST_PX
    assert "Osteophytes 0.90" in words


def test_300_boxes_are_drawn() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 600, (300, 2))
    boxes = tuple(Box(LABELS.split(",")[n % 6], 0.3, x, y, x + 60, y + 70) for n, (x, y) in enumerate(corners))
    assert (drawn(findings(boxes)) != drawn(findings(boxes[:1]))).any()


def test_each_label_has_a_colour_of_its_own_and_keeps_it() -> None:
    labels = [*LABELS.split(","), "Other lesions"]
    colours = lesion_colours(labels)
    assert len(set(colours.values())) == 7
    assert lesion_colours(reversed(labels)) == colours
    assert len(lesion_colours(str(number) for number in range(40))) == 40


def test_the_colours_can_be_told_apart() -> None:
    for number, one in enumerate(LESION_COLOURS):
        assert max(one) - min(one) > 60, "a grey would drown in the film"
        for other in LESION_COLOURS[number + 1 :]:
            assert sum(abs(a - b) for a, b in zip(one, other, strict=True)) > 80
