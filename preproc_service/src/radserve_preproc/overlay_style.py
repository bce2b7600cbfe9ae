"""The size of an overlay in, its measures out: fonts, line widths, margins, blocks of text, colours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from zlib import crc32

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont

# At this length of the longer side the measures below are in pixels; they grow and shrink with it.
SCREEN_PX = 1280
SMALLEST_FONT_PX = 12

# A stamp-sized image gets black beside it, so that the words have room.
NARROWEST_PX = 400

WHITE: Colour = (255, 255, 255)
BLACK: Colour = (0, 0, 0)
POSITIVE: Colour = (176, 68, 0)
NEGATIVE: Colour = (0, 98, 158)
UNTRAINED: Colour = (200, 16, 46)

# Told apart on grey, also with the common colour deficiencies (after the sets of Okabe and Ito, and of Tol).
LESION_COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),
    (240, 228, 66),
    (0, 190, 140),
    (230, 159, 0),
    (225, 120, 190),
    (255, 100, 80),
    (150, 220, 90),
    (170, 140, 255),
)


@dataclass(frozen=True, slots=True)
class Style:
    """Measures of one overlay, in its pixels."""

    font: Font
    headline: Font
    line: int
    margin: int

    @classmethod
    def of(cls, width: int, height: int) -> Style:
        """The style of an overlay of that size."""
        # On a strip of a film letters of that size would not fit beside each other; on the narrowest overlay 1 does.
        unit = min(max(width, height) / SCREEN_PX, max(width, NARROWEST_PX) / NARROWEST_PX)
        return cls(
            font=scalable_font(max(round(17 * unit), SMALLEST_FONT_PX)),
            headline=scalable_font(max(round(28 * unit), SMALLEST_FONT_PX)),
            line=max(round(2 * unit), 1),
            margin=max(round(8 * unit), 2),
        )

    def line_height(self, font: Font) -> int:
        """Height of a line of text with the space around it."""
        return round(font.size * 1.35)


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Text on a bar that goes from edge to edge."""

    text: str
    font: Font
    background: Colour

    def wrapped(self, width: int, style: Style) -> TextBlock:
        """The same text with line breaks, so that no word is lost on a narrow film."""
        room = width - 2 * style.margin
        lines: list[str] = []
        for word in self.text.split(" "):
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.font.getlength(longer) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        return replace(self, text="\n".join(line.strip() for line in lines))

    def height(self, style: Style) -> int:
        """Height of the bar."""
        return style.line_height(self.font) * len(self.text.split("\n"))

    def draw(self, draw: ImageDraw.ImageDraw, top: int, style: Style) -> None:
        """Draw the bar with its upper edge at ``top``."""
        draw.rectangle((0, top, draw.im.size[0], top + self.height(style) - 1), fill=self.background)
        line_height = style.line_height(self.font)
        for number, line in enumerate(self.text.split("\n")):
            middle = top + (number + 0.5) * line_height
            draw.text((style.margin, middle), line, font=self.font, fill=WHITE, anchor="lm")


@cache
def scalable_font(size_px: int) -> Font:
    """Pillow's own scalable font: no font has to be installed.

    Raises
    ------
    RuntimeError
        When Pillow was built without FreeType.
    """
    font = ImageFont.load_default(size_px)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType; overlays need its scalable font")  # noqa: TRY004
    return font


def lesion_colours(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label: as far as possible the same on every film, and different ones on one film."""
    colours: dict[str, Colour] = {}
    for label in sorted(set(labels)):
        first = crc32(label.encode()) % len(LESION_COLOURS)
        order = (*LESION_COLOURS[first:], *LESION_COLOURS[:first])
        colours[label] = next((colour for colour in order if colour not in colours.values()), order[0])
    return colours


def ink_on(background: Colour) -> Colour:
    """Black or white, whichever reads better on ``background`` (luminance after ITU-R BT.709)."""
    red, green, blue = background
    return BLACK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 110 else WHITE
