"""The findings of an abdominal study in, a printable PNG out: a card per organ, the overall risk, the scan's geometry.

Light paper and dark words, for a printer; nothing that names a patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from radserve_contract.findings import Findings, ImageDescription, LabelFinding, OrganFinding
from radserve_preproc.frame import Words, framed
from radserve_preproc.fuse_grades import HIGH, LOW
from radserve_preproc.overlay_style import NEGATIVE, POSITIVE, WHITE, Colour, scalable_font

PAPER: Colour = WHITE
INK: Colour = (20, 20, 20)
MIDDLE: Colour = (140, 100, 0)
_TRACK: Colour = (225, 225, 225)
_SCREEN, _FULL = 20, 40
"""Height of a plain letter in pixels: for a screen; for paper (an A4 page of 2480 pixels is 300 dots per inch)."""
_COLUMNS = 3


@dataclass(frozen=True, slots=True)
class _Card:
    """What a card says: ``bars`` are words with their probability (0..1) and whether it is the one chosen."""

    title: str
    status: str
    colour: Colour
    bars: tuple[tuple[str, float, bool], ...]
    note: str


def render_summary(findings: Findings, *, full_size: bool) -> bytes:
    """Draw one card for each injury and organ as PNG; ``full_size`` makes it twice as large, for paper."""
    letter = _FULL if full_size else _SCREEN
    cards = [*map(_injury_card, findings.labels), *map(_organ_card, findings.organs)]
    return framed(_page(cards, _scan_lines(findings), letter), _words(findings), findings)


def _words(findings: Findings) -> list[Words]:
    colour = {HIGH: POSITIVE, LOW: NEGATIVE}.get(findings.risk or "", MIDDLE)
    return [
        Words(f"Overall risk: {findings.risk}", colour, headline=True),
        Words(f"{findings.pipeline}, profile {findings.profile}"),
        Words("The risk follows probabilities, the cards follow thresholds: they may disagree."),
    ]


def _injury_card(finding: LabelFinding) -> _Card:
    rule = f"{finding.status} when {finding.comparison} {finding.threshold:g}"
    if not finding.positive:
        rule = f"{finding.status}: not {finding.comparison} {finding.threshold:g}"
    return _Card(
        title=finding.name.capitalize(),
        status=finding.status,
        colour=POSITIVE if finding.positive else NEGATIVE,
        bars=(("injury", finding.probability, finding.positive),),
        note=rule,
    )


def _organ_card(finding: OrganFinding) -> _Card:
    severities = [*finding.probabilities]
    rank = severities.index(finding.severity)
    return _Card(
        title=finding.name.capitalize(),
        status=finding.status,
        colour=NEGATIVE if rank == 0 else POSITIVE if rank == len(severities) - 1 else MIDDLE,
        bars=tuple((name, value, name == finding.severity) for name, value in finding.probabilities.items()),
        note=f"probability of {finding.severity}: {finding.confidence:.3f}",
    )


def _scan_lines(findings: Findings) -> list[str]:
    """What was scanned and what answered."""
    image = findings.image
    weights = "trained" if findings.trained else "UNTRAINED"
    networks = ", ".join(f"{model.name} version {model.version} ({model.digest[:12]})" for model in findings.models)
    done = [f"Done to the pixels: {'; '.join(findings.changes)}"] if findings.changes else []
    return [f"Scan: {_scan(image)}", f"Network: {networks}; weights {weights}", *done]


def _scan(image: ImageDescription) -> str:
    parts = [f"{image.slices or '?'} slices of {image.rows} x {image.columns} pixels"]
    if image.geometry is not None:
        i, j, k = image.geometry.spacing_mm
        parts.append(f"{j:.3g} x {i:.3g} mm, slices {k:.3g} mm apart")
    if image.slice_thickness_mm is not None:
        parts.append(f"{image.slice_thickness_mm:g} mm thick")
    return ", ".join([image.kind, *parts])


def _page(cards: Sequence[_Card], lines: Sequence[str], letter: int) -> Image.Image:
    """The cards in rows, the lines below them."""
    width, gap = letter * 17, letter
    height = max(_card_height(card, letter) for card in cards)
    rows = -(-len(cards) // _COLUMNS)
    page_width = _COLUMNS * (width + gap) + gap
    wrapped = [part for line in lines for part in _wrapped(line, page_width - 2 * gap, letter)]
    below = rows * (height + gap) + gap
    page = Image.new("RGB", (page_width, round(below + len(wrapped) * letter * 1.5 + gap)), PAPER)
    draw = ImageDraw.Draw(page)
    for number, card in enumerate(cards):
        row, column = divmod(number, _COLUMNS)
        corner = (gap + column * (width + gap), gap + row * (height + gap))
        _draw_card(draw, card, corner, (width, height), letter)
    for number, line in enumerate(wrapped):
        draw.text((gap, below + number * letter * 1.5), line, font=scalable_font(letter), fill=INK)
    return page


def _card_height(card: _Card, letter: int) -> int:
    return round(letter * (6.2 + 1.8 * len(card.bars)))


def _draw_card(
    draw: ImageDraw.ImageDraw, card: _Card, corner: tuple[int, int], size: tuple[int, int], letter: int
) -> None:
    (left, top), (width, height), margin = corner, size, letter // 2
    plain, large = scalable_font(letter), scalable_font(round(letter * 1.3))
    draw.rectangle((left, top, left + width, top + height), outline=card.colour, width=max(letter // 8, 2))
    draw.rectangle((left, top, left + width, top + round(letter * 2.1)), fill=card.colour)
    draw.text((left + margin, top + letter * 1.05), card.title, font=large, fill=WHITE, anchor="lm")
    draw.text((left + margin, top + letter * 3.2), card.status, font=large, fill=card.colour, anchor="lm")
    for number, bar in enumerate(card.bars):
        _draw_bar(
            draw, bar, (left + margin, round(top + letter * (4.4 + 1.8 * number))), width - 2 * margin, card, letter
        )
    draw.text((left + margin, top + height - letter), card.note, font=plain, fill=INK, anchor="lm")


def _draw_bar(
    draw: ImageDraw.ImageDraw,
    bar: tuple[str, float, bool],
    corner: tuple[int, int],
    width: int,
    card: _Card,
    letter: int,
) -> None:
    """A word, a bar from 0 to 1, a number; the chosen one in the card's colour."""
    (name, probability, chosen), (left, top), font = bar, corner, scalable_font(letter)
    track, end = left + letter * 4, left + width - letter * 3
    middle = top + letter * 0.6
    draw.text((left, middle), name, font=font, fill=INK, anchor="lm")
    draw.rectangle((track, top, end, top + letter), fill=_TRACK)
    draw.rectangle(
        (track, top, track + round((end - track) * probability), top + letter), fill=card.colour if chosen else INK
    )
    draw.text((left + width, middle), f"{probability:.3f}", font=font, fill=INK, anchor="rm")


def _wrapped(line: str, width: int, letter: int) -> list[str]:
    """``line`` in pieces that fit."""
    font, pieces = scalable_font(letter), [""]
    for word in line.split():
        longer = f"{pieces[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            pieces[-1] = longer
        else:
            pieces.append(word)
    return pieces
