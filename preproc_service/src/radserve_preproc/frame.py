"""A picture and its findings in, a PNG out: the picture between words that cover nothing of it.

Every picture the service answers with goes through here, so that none is without its banner for untrained weights and
the word that it is for research.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw

from radserve_contract.findings import Findings
from radserve_preproc.overlay_style import BLACK, NARROWEST_PX, UNTRAINED, Colour, Style, TextBlock

UNTRAINED_TEXT = "UNTRAINED WEIGHTS - NOT A RESULT"
RESEARCH_TEXT = "Research use only - not for diagnosis"

# Measured on noisy films: level 3 takes twice as long and saves 5 % of the bytes.
_COMPRESSION_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Words:
    """A line above the picture. ``headline`` lines are large; ``colour`` is that of the bar behind them."""

    text: str
    colour: Colour = BLACK
    headline: bool = False


Paint = Callable[[ImageDraw.ImageDraw, tuple[int, int], Style], None]
"""Draws on the finished canvas, given where the picture's upper left corner is."""


def framed(picture: Image.Image, words: Sequence[Words], findings: Findings, paint: Paint | None = None) -> bytes:
    """An RGB PNG without metadata: ``words`` and, for untrained weights, a banner above ``picture``; notices below.

    ``paint`` may draw on the picture once it stands on the canvas, text that reaches over its edge included.
    """
    style = Style.of(*picture.size)
    width = max(picture.width, NARROWEST_PX)
    header = [block.wrapped(width, style) for block in _header(words, findings, style)]
    footer = [block.wrapped(width, style) for block in _footer(findings, style)]
    corner = ((width - picture.width) // 2, sum(block.height(style) for block in header))
    below = corner[1] + picture.height
    canvas = Image.new("RGB", (width, below + sum(block.height(style) for block in footer)))
    canvas.paste(picture, corner)
    draw = ImageDraw.Draw(canvas, "RGBA")
    if paint is not None:
        paint(draw, corner, style)
    _stack(draw, header, 0, style)
    _stack(draw, footer, below, style)
    return png(canvas)


def png(canvas: Image.Image) -> bytes:
    """The bytes of a PNG of ``canvas``."""
    stream = BytesIO()
    canvas.save(stream, "PNG", compress_level=_COMPRESSION_LEVEL)
    return stream.getvalue()


def _header(words: Sequence[Words], findings: Findings, style: Style) -> list[TextBlock]:
    blocks = [TextBlock(line.text, style.headline if line.headline else style.font, line.colour) for line in words]
    return blocks if findings.trained else [*blocks, TextBlock(UNTRAINED_TEXT, style.headline, UNTRAINED)]


def _footer(findings: Findings, style: Style) -> list[TextBlock]:
    """What stands at the bottom; the banner again, for a picture that was cropped."""
    codes = dict.fromkeys(warning.code for warning in findings.warnings)
    words = RESEARCH_TEXT + (f"   Warnings: {', '.join(codes)}" if codes else "")
    blocks = [TextBlock(words, style.font, BLACK)]
    return blocks if findings.trained else [TextBlock(UNTRAINED_TEXT, style.font, UNTRAINED), *blocks]


def _stack(draw: ImageDraw.ImageDraw, blocks: list[TextBlock], top: int, style: Style) -> None:
    """Draw wrapped blocks below each other."""
    for block in blocks:
        block.draw(draw, top, style)
        top += block.height(style)
