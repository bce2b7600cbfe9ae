"""A decoded image and its findings in, a PNG out: the film with boxes, the decision, and what it is not."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageDraw

from radserve_contract.findings import Decision, Detections, Findings
from radserve_preproc.image import Grey
from radserve_preproc.overlay_boxes import Place, draw_boxes
from radserve_preproc.overlay_style import (
    BLACK,
    NARROWEST_PX,
    NEGATIVE,
    POSITIVE,
    SCREEN_PX,
    UNTRAINED,
    Style,
    TextBlock,
)
from radserve_preproc.study import DecodedImage

UNTRAINED_TEXT = "UNTRAINED WEIGHTS - NOT A RESULT"
RESEARCH_TEXT = "Research use only - not for diagnosis"

# Measured on noisy films: level 3 takes twice as long and saves 5 % of the bytes.
_COMPRESSION_LEVEL = 2


def render_overlay(image: DecodedImage, findings: Findings, *, full_size: bool) -> bytes:
    """Draw the boxes of ``findings`` on ``image``, and words above and below it, where they cover nothing of the film.

    Parameters
    ----------
    full_size
        True for the film pixel by pixel; False for one whose longer side is 1280 pixels, to look at.

    Returns
    -------
    An RGB PNG without any metadata.
    """
    film, scale = _film(image.pixels, full_size=full_size)
    style = Style.of(*film.size)
    width = max(film.width, NARROWEST_PX)
    header = [block.wrapped(width, style) for block in _header(findings, style)]
    footer = [block.wrapped(width, style) for block in _footer(findings, style)]
    corner = ((width - film.width) // 2, sum(block.height(style) for block in header))
    canvas = Image.new("RGB", (width, corner[1] + film.height + sum(block.height(style) for block in footer)))
    canvas.paste(film, corner)
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw_boxes(draw, findings.detections.boxes, Place(*corner, *film.size, scale), style)
    _stack(draw, header, 0, style)
    _stack(draw, footer, corner[1] + film.height, style)
    return _png(canvas)


def _film(pixels: Grey, *, full_size: bool) -> tuple[Image.Image, float]:
    """The film in RGB, and overlay pixels per image pixel."""
    film = Image.fromarray(pixels)
    if full_size:
        return film.convert("RGB"), 1.0
    scale = SCREEN_PX / max(film.size)
    size = (max(round(film.width * scale), 1), max(round(film.height * scale), 1))
    return film.resize(size, Image.Resampling.BICUBIC).convert("RGB"), scale


def _header(findings: Findings, style: Style) -> list[TextBlock]:
    """What stands at the top: decision, profile and boxes, and the banner for untrained weights."""
    decision = findings.decision
    about = f"{findings.pipeline}, profile {findings.profile}   {_detection_words(findings.detections)}"
    blocks = [
        TextBlock(_decision_words(decision), style.headline, POSITIVE if decision.positive else NEGATIVE),
        TextBlock(about, style.font, BLACK),
    ]
    return blocks if findings.trained else [*blocks, TextBlock(UNTRAINED_TEXT, style.headline, UNTRAINED)]


def _footer(findings: Findings, style: Style) -> list[TextBlock]:
    """What stands at the bottom; the banner again, for a picture that was cropped."""
    codes = dict.fromkeys(warning.code for warning in findings.warnings)
    words = RESEARCH_TEXT + (f"   Warnings: {', '.join(codes)}" if codes else "")
    blocks = [TextBlock(words, style.font, BLACK)]
    return blocks if findings.trained else [TextBlock(UNTRAINED_TEXT, style.font, UNTRAINED), *blocks]


def _decision_words(decision: Decision) -> str:
    relation = decision.comparison if decision.positive else f"is not {decision.comparison}"
    return f"{decision.label.upper()}   score {decision.probability:.3f} {relation} {decision.threshold:g}"


def _detection_words(detections: Detections) -> str:
    if not detections.ran:
        return f"Detector not run: {detections.reason}"
    count = len(detections.boxes)
    return f"{count or 'no'} {'box' if count == 1 else 'boxes'} over confidence {detections.confidence_threshold:g}"


def _stack(draw: ImageDraw.ImageDraw, blocks: list[TextBlock], top: int, style: Style) -> None:
    """Draw wrapped blocks below each other."""
    for block in blocks:
        block.draw(draw, top, style)
        top += block.height(style)


def _png(canvas: Image.Image) -> bytes:
    stream = BytesIO()
    canvas.save(stream, "PNG", compress_level=_COMPRESSION_LEVEL)
    return stream.getvalue()
