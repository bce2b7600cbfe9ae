"""A film and its findings in, a PNG out: the film with boxes and the decision above it."""

from __future__ import annotations

from PIL import Image, ImageDraw

from radserve_contract.findings import Decision, Detections
from radserve_preproc.frame import Words, framed
from radserve_preproc.image import Grey
from radserve_preproc.overlay_boxes import Place, draw_boxes
from radserve_preproc.overlay_style import NEGATIVE, POSITIVE, SCREEN_PX, Style
from radserve_preproc.tasks.task import Analysis, Picture


def draw_boxes_on_film(analysis: Analysis, picture: Picture) -> bytes:
    """Draw the boxes of a film's findings on it, pixel by pixel or with its longer side 1280 pixels, as PNG.

    Raises
    ------
    ValueError
        The findings have no decision or detections: they are no film's.
    """
    findings = analysis.findings
    if findings.decision is None or findings.detections is None:
        raise ValueError(f"the findings of {findings.pipeline} have no decision and boxes to draw")
    boxes = findings.detections.boxes
    film, scale = _film(analysis.image.pixels, full_size=picture.full_size)

    def paint(draw: ImageDraw.ImageDraw, corner: tuple[int, int], style: Style) -> None:
        draw_boxes(draw, boxes, Place(*corner, *film.size, scale), style)

    about = f"{findings.pipeline}, profile {findings.profile}   {_detection_words(findings.detections)}"
    colour = POSITIVE if findings.decision.positive else NEGATIVE
    return framed(
        film, [Words(decision_words(findings.decision), colour, headline=True), Words(about)], findings, paint
    )


def _film(pixels: Grey, *, full_size: bool) -> tuple[Image.Image, float]:
    """The film in RGB, and overlay pixels per image pixel."""
    film = Image.fromarray(pixels)
    if full_size:
        return film.convert("RGB"), 1.0
    scale = SCREEN_PX / max(film.size)
    size = (max(round(film.width * scale), 1), max(round(film.height * scale), 1))
    return film.resize(size, Image.Resampling.BICUBIC).convert("RGB"), scale


def decision_words(decision: Decision) -> str:
    """The headline: label, score and how it stands to the threshold."""
    relation = decision.comparison if decision.positive else f"is not {decision.comparison}"
    return f"{decision.label.upper()}   score {decision.probability:.3f} {relation} {decision.threshold:g}"


def _detection_words(detections: Detections) -> str:
    if not detections.ran:
        return f"Detector not run: {detections.reason}"
    count = len(detections.boxes)
    return f"{count or 'no'} {'box' if count == 1 else 'boxes'} over confidence {detections.confidence_threshold:g}"
