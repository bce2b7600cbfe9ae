"""Scores of slices in, a PNG out: a line per label along the series, the threshold, and a legend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from radserve_contract.ct import SliceLabelsProfile
from radserve_contract.findings import Findings, VolumeGeometry
from radserve_preproc.frame import Words, framed
from radserve_preproc.overlay_style import LESION_COLOURS, SCREEN_PX, WHITE, Colour, Style
from radserve_preproc.render_slice import definition_words, headline_words
from radserve_preproc.tasks.task import Analysis, Picture, of_kind

HEIGHT_PX = 640
PAPER: Colour = (24, 24, 28)
GRID: Colour = (74, 74, 82)
INK: Colour = (220, 220, 220)
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
MOST_NUMBERS = 12
"""So many slices are numbered along the axis at most."""
DOTTED_UP_TO = 40
"""With more slices than this a dot for each would hide the lines."""
ALONG_BODY = 0.7
"""Cosine with the body's axis from which slices are called those from feet to head."""

Series = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Axes:
    """Where the plot's rectangle lies, in pixels of the picture; ``count`` slices left to right, 0 to 1 upwards."""

    left: int
    top: int
    right: int
    bottom: int
    count: int

    def x(self, number: int) -> float:
        """The column of a slice."""
        return self.left + (self.right - self.left) * (number / (self.count - 1) if self.count > 1 else 0.5)

    def y(self, score: float) -> float:
        """The row of a score."""
        return self.bottom - (self.bottom - self.top) * score


def draw_plot(analysis: Analysis, _picture: Picture) -> bytes:
    """Draw the score of every label for every slice, 1280 x 640 pixels under the words.

    Raises
    ------
    ValueError
        The findings have no decision or labels: they are no slice's.
    """
    profile, findings = of_kind(analysis.profile, SliceLabelsProfile), analysis.findings
    if findings.decision is None or not findings.labels:
        raise ValueError(f"the findings of {findings.pipeline} have no labels to draw")
    words = [
        headline_words(findings.decision),
        *definition_words(findings, profile),
        Words(f"{findings.pipeline}, profile {findings.profile}   score of each slice"),
    ]
    return framed(_plot(findings, profile), words, findings)


def _plot(findings: Findings, profile: SliceLabelsProfile) -> Image.Image:
    series = _series(findings)
    picture = Image.new("RGB", (SCREEN_PX, HEIGHT_PX), PAPER)
    draw, style = ImageDraw.Draw(picture), Style.of(*picture.size)
    count = len(next(iter(series.values())))
    legend_px = max(style.font.getlength(_entry(name, scores)) for name, scores in series.items()) + 7 * style.margin
    axes = _Axes(
        left=round(style.font.getlength("0.00") + 5 * style.margin),
        top=style.line_height(style.font) * 2,
        right=round(picture.width - legend_px - 2 * style.margin),
        bottom=picture.height - style.line_height(style.font) * 3,
        count=count,
    )
    _draw_axes(draw, axes, style, _direction(findings.image.geometry))
    _draw_thresholds(draw, axes, {label.threshold for label in findings.labels})
    colours = _colours(series, profile.any_label)
    for name in sorted(series, key=lambda name: name == profile.any_label):  # the headline's label on top
        _draw_line(draw, axes, series[name], colours[name], style.line * (2 if name == profile.any_label else 1))
    _draw_legend(draw, axes, series, colours, style)
    return picture


def _series(findings: Findings) -> Series:
    """The scores of each label, slice by slice; a study of one slice has one of each."""
    if findings.slices is not None:
        return findings.slices.probabilities
    return {label.name: (label.probability,) for label in findings.labels}


def _colours(names: Series, any_label: str) -> dict[str, Colour]:
    """White for the headline's label, a colour of its own for each of the others, the same on every plot."""
    others = [name for name in names if name != any_label]
    colours = {name: LESION_COLOURS[number % len(LESION_COLOURS)] for number, name in enumerate(others)}
    return colours | {any_label: WHITE}


def _draw_axes(draw: ImageDraw.ImageDraw, axes: _Axes, style: Style, direction: str) -> None:
    for tick in TICKS:
        row = axes.y(tick)
        draw.line((axes.left, row, axes.right, row), fill=GRID)
        draw.text((axes.left - style.margin, row), f"{tick:.2f}", font=style.font, fill=INK, anchor="rm")
    for number in _numbered(axes.count):
        column = axes.x(number)
        draw.line((column, axes.bottom, column, axes.bottom + style.margin // 2), fill=INK)
        draw.text((column, axes.bottom + style.margin), str(number), font=style.font, fill=INK, anchor="mt")
    draw.line((axes.left, axes.top, axes.left, axes.bottom, axes.right, axes.bottom), fill=INK)
    line = style.line_height(style.font)
    draw.text((axes.left, axes.top - line / 2 - style.margin), "score", font=style.font, fill=INK, anchor="lm")
    middle = (axes.left + axes.right) / 2
    draw.text((middle, axes.bottom + 2 * line), f"slice{direction}", font=style.font, fill=INK, anchor="mm")


def _numbered(count: int) -> Iterator[int]:
    """The slices whose number stands at the axis: every 1st, 2nd, 5th, 10th, ... of them."""
    steps = (step * 10**power for power in range(6) for step in (1, 2, 5))
    step = next(step for step in steps if count / step <= MOST_NUMBERS)
    return iter(range(0, count, step))


def _direction(geometry: VolumeGeometry | None) -> str:
    """Which way the slices go, in words, where the geometry says."""
    if geometry is None or abs(upwards := geometry.direction[8]) < ALONG_BODY:
        return ""
    return ", from feet to head" if upwards > 0 else ", from head to feet"


def _draw_thresholds(draw: ImageDraw.ImageDraw, axes: _Axes, thresholds: set[float]) -> None:
    """A dashed line at each."""
    for threshold in thresholds:
        for column in range(axes.left, axes.right, 16):
            row = axes.y(threshold)
            draw.line((column, row, min(column + 8, axes.right), row), fill=INK)


def _draw_line(draw: ImageDraw.ImageDraw, axes: _Axes, scores: Sequence[float], colour: Colour, width: int) -> None:
    points = [(axes.x(number), axes.y(score)) for number, score in enumerate(scores)]
    draw.line(points, fill=colour, width=width, joint="curve")
    for x, y in points if axes.count <= DOTTED_UP_TO else ():
        draw.ellipse((x - width - 1, y - width - 1, x + width + 1, y + width + 1), fill=colour)


def _draw_legend(
    draw: ImageDraw.ImageDraw, axes: _Axes, series: Series, colours: Mapping[str, Colour], style: Style
) -> None:
    """Name, colour and highest score of each label, in the order of the labels."""
    left, line = axes.right + 2 * style.margin, style.line_height(style.font)
    for number, (name, scores) in enumerate(series.items()):
        middle = axes.top + (number + 0.5) * line
        draw.line((left, middle, left + 3 * style.margin, middle), fill=colours[name], width=2 * style.line)
        draw.text((left + 4 * style.margin, middle), _entry(name, scores), font=style.font, fill=INK, anchor="lm")


def _entry(name: str, scores: Sequence[float]) -> str:
    return f"{name}, at most {max(scores):.3f}" if len(scores) > 1 else f"{name} {scores[0]:.3f}"
