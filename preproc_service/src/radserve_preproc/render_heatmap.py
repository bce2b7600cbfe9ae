"""A slice and its probability map in, a PNG out: the slice in grey under the map in colour, and what the colours mean.

Colours are those of the trained system: matplotlib's ``hot``, half transparent over the whole slice. Its scale is not:
there both pictures are stretched to their own range, so that a map of a thousandth looks like one of 1. Here colours go
from 0 to 1, unless ``scale=auto`` asks for that look; then the picture says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from radserve_contract.ct import MARKED
from radserve_contract.findings import Segmentation
from radserve_preproc.frame import Words, framed
from radserve_preproc.fuse_segmentation import Map, resized
from radserve_preproc.image import Grey
from radserve_preproc.overlay_style import NARROWEST_PX, NEGATIVE, POSITIVE, SCREEN_PX, WHITE, Font, scalable_font
from radserve_preproc.prepare.min_max import to_grey
from radserve_preproc.tasks.task import Analysis, Picture

PROBABILITY, SHOWN = "probability", "shown"
"""Names in ``Analysis.maps``: the map ``(h, w)`` that is drawn, and the number of its slice."""
AUTO = "auto"
AUTO_WORDS = "AUTO SCALE"
ALPHA = 0.5
_LEVELS = 256
# matplotlib's hot: where each channel stands (share of the scale, value), straight lines between
_HOT = (
    ((0.0, 0.0416), (0.365079, 1.0), (1.0, 1.0)),
    ((0.0, 0.0), (0.365079, 0.0), (0.746032, 1.0), (1.0, 1.0)),
    ((0.0, 0.0), (0.746032, 0.0), (1.0, 1.0)),
)
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)

Rgb = npt.NDArray[np.uint8]


def _hot() -> Rgb:
    """The colours of 256 levels, ``(256, 3)``."""
    levels = np.linspace(0, 1, _LEVELS)
    channels = [np.interp(levels, [at for at, _ in points], [value for _, value in points]) for points in _HOT]
    return (np.stack(channels, axis=-1) * 255).astype(np.uint8)


HOT = _hot()


@dataclass(frozen=True, slots=True)
class Scale:
    """Which probabilities have the first and the last colour, and which greys are black and white."""

    low: float
    high: float
    black: int
    white: int

    @classmethod
    def of(cls, probability: Map, grey: Grey, *, is_auto: bool) -> Scale:
        """0 to 1; with ``is_auto`` each from its lowest to its highest value, as matplotlib's ``imshow`` does."""
        if not is_auto:
            return cls(0.0, 1.0, 0, 255)
        return cls(float(probability.min()), float(probability.max()), int(grey.min()), int(grey.max()))

    def colours(self, probability: npt.NDArray[np.floating]) -> Rgb:
        """The colour of each value, ``(..., 3)``; the first one everywhere when all values are alike."""
        share = _share(probability.astype(np.float64), self.low, self.high)
        return HOT[np.clip((share * _LEVELS).astype(np.intp), 0, _LEVELS - 1)]

    def greys(self, grey: Grey) -> npt.NDArray[np.float64]:
        """0..255, stretched."""
        return 255.0 * np.clip(_share(grey.astype(np.float64), self.black, self.white), 0, 1)


def _share(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def draw_heatmap(analysis: Analysis, picture: Picture) -> bytes:
    """Draw the slice with the largest marked area: pixel by pixel, or with its longer side 1280 pixels, as PNG.

    Raises
    ------
    ValueError
        The findings have no segmentation.
    """
    findings, probability = analysis.findings, analysis.maps[PROBABILITY]
    if findings.segmentation is None:
        raise ValueError(f"the findings of {findings.pipeline} have no segmentation to draw")
    number, is_auto = int(analysis.maps[SHOWN]), picture.scale == AUTO
    grey = to_grey(analysis.image.pixels[number])
    scale = Scale.of(probability, grey, is_auto=is_auto)
    heat = Image.fromarray(blended(grey, probability, scale, _size(grey.shape, full_size=picture.full_size)))
    words = [
        _headline(findings.segmentation),
        Words(f"{findings.pipeline}, profile {findings.profile}{_which(number, findings.segmentation)}"),
        *([_auto_words(scale)] if is_auto else []),
    ]
    return framed(_with_legend(heat, scale, findings.segmentation, is_auto=is_auto), words, findings)


def blended(grey: Grey, probability: Map, scale: Scale, size: tuple[int, int]) -> Rgb:
    """Grey and colour, half of each, at ``size`` (rows, columns): ``(*size, 3)``."""
    rows, columns = size
    enlarged = grey if grey.shape == size else cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_LINEAR)
    under = scale.greys(np.asarray(enlarged, np.uint8))[..., None] * (1 - ALPHA)
    over = scale.colours(resized(probability, size)) * ALPHA
    return np.rint(under + over).astype(np.uint8)


def _size(shape: tuple[int, ...], *, full_size: bool) -> tuple[int, int]:
    rows, columns = shape
    if full_size:
        return rows, columns
    factor = SCREEN_PX / max(shape)
    return max(round(rows * factor), 1), max(round(columns * factor), 1)


def _headline(found: Segmentation) -> Words:
    if found.status != MARKED:
        return Words(f"NO {found.label.upper()} MARKED   highest probability {found.most_probable:.3f}", NEGATIVE, True)
    volume = "" if found.volume_ml is None else f"   {found.volume_ml:.1f} ml"
    area = "" if found.area_mm2 is None else f"   {found.area_mm2:.0f} mm2"
    whole = "scan" if len(found.fraction_per_slice) > 1 else "image"
    return Words(f"{found.label.upper()} MARKED   {found.fraction:.2%} of the {whole}{volume}{area}", POSITIVE, True)


def _which(number: int, found: Segmentation) -> str:
    """Which slice of a volume this is, and how much of it is marked."""
    slices = len(found.fraction_per_slice)
    over = f"   marked where probability {found.comparison} {found.threshold:g}"
    if slices == 1:
        return over
    why = "the largest marked area" if found.fraction_per_slice[number] else "the highest probability"
    share = found.fraction_per_slice[number]
    return f"   slice {number} of 0 to {slices - 1}, that with {why}: {share:.2%} of it{over}"


def _auto_words(scale: Scale) -> Words:
    return Words(
        f"{AUTO_WORDS}: the lowest probability of this slice, {scale.low:.3g}, has the first colour and the highest,"
        f" {scale.high:.3g}, the last, as the trained system draws it. Bright does not mean probable",
        POSITIVE,
    )


def _with_legend(heat: Image.Image, scale: Scale, found: Segmentation, *, is_auto: bool) -> Image.Image:
    """The picture above the colours with their probabilities."""
    width = max(heat.width, NARROWEST_PX)
    title = f"probability of {found.label}{f', {AUTO_WORDS}' if is_auto else ''}, over black (above) and over white"
    legend = _legend(width, scale, title)
    canvas = Image.new("RGB", (width, heat.height + legend.height))
    canvas.paste(heat, ((width - heat.width) // 2, 0))
    canvas.paste(legend, (0, heat.height))
    return canvas


def _legend(width: int, scale: Scale, title: str) -> Image.Image:
    """The colours as they look over black and over white, numbers below them."""
    font = scalable_font(max(width // 70, 12))
    bar, margin = round(font.size * 1.4), round(font.size * 2)
    legend = Image.new("RGB", (width, bar + round(font.size * 3.4)))
    values = np.linspace(scale.low, scale.high, width - 2 * margin)
    legend.paste(Image.fromarray(_bar(scale.colours(values), bar)), (margin, round(font.size / 2)))
    draw = ImageDraw.Draw(legend)
    for share in _TICKS:
        place = (margin + share * (width - 2 * margin - 1), font.size * 0.8 + bar)
        _number(draw, place, scale.low + share * (scale.high - scale.low), font)
    draw.text((width / 2, legend.height - font.size * 0.2), title, font=font, fill=WHITE, anchor="md")
    return legend


def _bar(colours: Rgb, height: int) -> npt.NDArray[Any]:
    under = np.where(np.arange(height) < height // 2, 0.0, 255.0)[:, None, None]
    return np.rint(under * (1 - ALPHA) + colours[None] * ALPHA).astype(np.uint8)


def _number(draw: ImageDraw.ImageDraw, place: tuple[float, float], value: float, font: Font) -> None:
    draw.text(place, f"{value:.3g}", font=font, fill=WHITE, anchor="mt")
