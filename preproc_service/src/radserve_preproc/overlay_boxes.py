"""Lesion boxes in, rectangles and readable labels drawn on an overlay: inside the picture and clear of each other."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageDraw

from radserve_contract.findings import Box
from radserve_preproc.overlay_style import BLACK, Colour, Style, ink_on, lesion_colours

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the film lies on the overlay, in overlay pixels; ``scale`` is overlay pixels per image pixel."""

    left: int
    top: int
    width: int
    height: int
    scale: float

    @property
    def right(self) -> int:
        """The film's right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The film's lower edge."""
        return self.top + self.height

    def of(self, box: Box) -> Rectangle:
        """Where a box of image pixels lies."""
        x, y, scale = self.left, self.top, self.scale
        return (x + box.x_min * scale, y + box.y_min * scale, x + box.x_max * scale, y + box.y_max * scale)


def draw_boxes(draw: ImageDraw.ImageDraw, boxes: tuple[Box, ...], film: Place, style: Style) -> None:
    """Draw ``boxes``, which are in image pixels, with labels that stay on the film."""
    colours = lesion_colours(box.label for box in boxes)
    # The most certain last, on top; but first to choose where its label goes.
    ranked = sorted(boxes, key=lambda box: box.confidence, reverse=True)
    for box in reversed(ranked):
        _outline(draw, film.of(box), film, colours[box.label], style)
    taken: list[Rectangle] = []
    for box in ranked:
        words = f"{box.label} {box.confidence:.2f}"
        taken.append(_place(words, film.of(box), film, taken, style))
        _label(draw, words, taken[-1], colours[box.label], style)


def _outline(draw: ImageDraw.ImageDraw, rectangle: Rectangle, film: Place, colour: Colour, style: Style) -> None:
    """A line in the colour with a thin dark edge outside it, so that it shows on white and on black."""
    edge = max(style.line // 2, 1)
    left, top = max(rectangle[0], film.left), max(rectangle[1], film.top)
    # Pillow draws up to and with the last pixel; a box ends at the edge before it.
    right, bottom = max(min(rectangle[2], film.right) - 1, left), max(min(rectangle[3], film.bottom) - 1, top)
    draw.rectangle((left - edge, top - edge, right + edge, bottom + edge), outline=(*BLACK, 140), width=edge)
    draw.rectangle((left, top, right, bottom), outline=colour, width=style.line)


def _place(words: str, box: Rectangle, film: Place, taken: list[Rectangle], style: Style) -> Rectangle:
    """Where a label goes: the first of the places for it that covers no other label, else the first of all."""
    width, height = style.font.getlength(words) + style.margin, style.line_height(style.font)
    corners = _corners(box, width, height)
    places = [_on_film(corner, width, height, film) for corner in corners]
    # Those that fit where they are come first, those that had to be moved onto the film after them.
    places.sort(key=lambda place: (place[0], place[1]) not in corners)
    return next((place for place in places if not any(_overlap(place, other) for other in taken)), places[0])


def _corners(box: Rectangle, width: float, height: float) -> list[tuple[float, float]]:
    """Upper left corners for a label: above its box, below it, inside at its top; then further away, line by line."""
    left, top, right, bottom = box
    near = [(left, top - height), (left, bottom), (left, top), (right - width, top - height), (right - width, bottom)]
    lines = range(1, 5)
    return [
        *near,
        *((left, top - height * (line + 1)) for line in lines),
        *((left, bottom + height * line) for line in lines),
    ]


def _on_film(corner: tuple[float, float], width: float, height: float, film: Place) -> Rectangle:
    """A rectangle with that upper left corner, moved onto the film as far as it fits."""
    left = max(min(corner[0], film.right - width), film.left)
    top = max(min(corner[1], film.bottom - height), film.top)
    return (left, top, left + width, top + height)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _label(draw: ImageDraw.ImageDraw, words: str, place: Rectangle, colour: Colour, style: Style) -> None:
    left, top, right, bottom = place
    draw.rectangle((left, top, right - 1, bottom - 1), fill=(*colour, 225))
    draw.text((left + style.margin / 2, (top + bottom) / 2), words, font=style.font, fill=ink_on(colour), anchor="lm")
