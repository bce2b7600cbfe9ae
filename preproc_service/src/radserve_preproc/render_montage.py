"""The slices that a network saw and its labels in, one PNG out: all slices in a grid, what was found in words above."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from radserve_contract.ct import VolumeLabelsProfile
from radserve_contract.findings import LabelFinding
from radserve_preproc.frame import Words, framed
from radserve_preproc.overlay_style import BLACK, NEGATIVE, POSITIVE, SCREEN_PX, WHITE, Style
from radserve_preproc.tasks.task import Analysis, Picture, of_kind

COLUMNS = 7
"""28 slices make four rows of seven, close to the shape of a screen."""


def draw_montage(analysis: Analysis, picture: Picture) -> bytes:
    """An RGB PNG of ``analysis.maps["stack"]``, ``(slices, windows, rows, columns)`` uint8, in the first window.

    The lowest slice is number 1, above on the left. With ``full_size`` pixel by pixel as the network saw them, else
    1280 pixels wide.
    """
    profile = of_kind(analysis.profile, VolumeLabelsProfile)
    stack = analysis.maps["stack"]
    grid = Image.fromarray(tiled(stack[:, 0]))
    if not picture.full_size:
        grid = grid.resize((SCREEN_PX, round(grid.height * SCREEN_PX / grid.width)), Image.Resampling.BICUBIC)
    numbers = partial(_number_slices, slices=len(stack), size=grid.size)
    return framed(grid.convert("RGB"), _words(analysis, profile, len(stack)), analysis.findings, numbers)


def tiled(slices: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """``(slices, rows, columns)`` beside and below each other, seven in a row; black where the last row is not full."""
    count, height, width = slices.shape
    lines = -(-count // COLUMNS)
    tiles = np.zeros((lines * COLUMNS, height, width), np.uint8)
    tiles[:count] = slices
    return tiles.reshape(lines, COLUMNS, height, width).swapaxes(1, 2).reshape(lines * height, COLUMNS * width)


def _words(analysis: Analysis, profile: VolumeLabelsProfile, slices: int) -> list[Words]:
    """What is present, most probable first, and what is shown."""
    findings, window = analysis.findings, profile.windows[0]
    positive = sorted((label for label in findings.labels if label.positive), key=lambda label: -label.probability)
    shown = (
        f"{findings.pipeline}, profile {findings.profile}   {slices} slices {profile.reslice.spacing_mm:g} mm apart,"
        f" number 1 the lowest; {window.name} window {window.center:g} / {window.width:g} HU; patient's right on the"
        " left"
    )
    return [
        Words(
            f"{len(positive)} of {len(findings.labels)} findings positive",
            POSITIVE if positive else NEGATIVE,
            headline=True,
        ),
        *([Words(_scores(positive), POSITIVE)] if positive else []),
        Words(shown, BLACK),
    ]


def _scores(labels: Sequence[LabelFinding]) -> str:
    return "   ".join(f"{label.name} {label.status} {label.probability:.3f}" for label in labels)


def _number_slices(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], style: Style, *, slices: int, size: tuple[int, int]
) -> None:
    """A small number at the upper left of each tile; ``size`` is that of the whole grid, width first."""
    width, height = size[0] / COLUMNS, size[1] / -(-slices // COLUMNS)
    for number in range(slices):
        line, column = divmod(number, COLUMNS)
        place = (corner[0] + column * width + style.margin / 2, corner[1] + line * height + style.margin / 4)
        draw.text(place, str(number + 1), font=style.font, fill=WHITE, stroke_width=style.line, stroke_fill=BLACK)
