"""A volume and its activation maps in, a PNG out: three planes through what speaks for a finding, in colour.

The maps have a few voxels along each side: they point at a region, not at a lesion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from radserve_contract.findings import Findings, LabelFinding, OrganFinding, VolumeGeometry
from radserve_preproc.activation import Upsampled
from radserve_preproc.frame import Words, framed
from radserve_preproc.overlay_style import BLACK, NEGATIVE, POSITIVE, SCREEN_PX, WHITE, scalable_font
from radserve_preproc.study import DecodedImage

WINDOW_HU = (-160.0, 240.0)
"""The usual window of soft tissue in the abdomen; only for the picture."""
STRENGTH = 0.65
"""How much of the colour shows where the map is 1; the grey picture shows through by the rest."""
# dark violet, red, orange, light yellow: rises in brightness, so it can be read without colour too
_COLOURS = np.array([(40, 10, 90), (150, 20, 110), (225, 70, 60), (250, 160, 30), (250, 250, 160)], np.float64)
_AXIAL_SHARE = 0.58
_GAP_PX = 8

Finding = LabelFinding | OrganFinding
Rgb = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


def render_gradcam(
    image: DecodedImage, findings: Findings, cams: Mapping[str, Map], head: str | None, *, full_size: bool
) -> bytes:
    """Draw the map of the class that was chosen for ``head``, over the axial slice where it is strongest and two planes
    across it, as PNG.

    Parameters
    ----------
    cams
        Maps ``(x, y, z)``, 0..1, by ``head`` or ``head:severity``.
    head
        None for the one with the most serious finding.
    full_size
        True for the axial slice pixel by pixel, False for a picture 1280 pixels wide.
    """
    finding = _finding(findings, head) if head else most_serious(findings)
    chosen = finding.name if isinstance(finding, LabelFinding) else f"{finding.name}:{finding.severity}"
    slices, rows, columns = image.pixels.shape
    cam = Upsampled.of(cams[chosen], (columns, rows, slices))
    at = (cam.strongest(0), cam.strongest(1), cam.strongest(2))
    longest = max(rows, columns) if full_size else round(SCREEN_PX * _AXIAL_SHARE)
    return framed(_planes(image, cam, at, longest), _words(findings, finding, chosen, cam, at), findings)


def most_serious(findings: Findings) -> Finding:
    """The finding to show first: by how bad what was decided is, then by the probability of injury."""
    return max(_every(findings), key=_seriousness)


def _seriousness(finding: Finding) -> tuple[float, float]:
    """1 for what is positive or the worst grade, 0 for what is healthy; and how probable any injury is."""
    if isinstance(finding, LabelFinding):
        return float(finding.positive), finding.probability
    severities = [*finding.probabilities]
    rank = severities.index(finding.severity) / (len(severities) - 1)
    return rank, 1.0 - finding.probabilities[severities[0]]


def _finding(findings: Findings, head: str) -> Finding:
    return next(finding for finding in _every(findings) if finding.name == head)


def _every(findings: Findings) -> list[Finding]:
    return [*findings.labels, *findings.organs]


def _words(findings: Findings, finding: Finding, chosen: str, cam: Upsampled, at: Sequence[int]) -> list[Words]:
    probability = finding.probability if isinstance(finding, LabelFinding) else finding.confidence
    serious = _seriousness(finding)[0] > 0
    headline = f"{finding.name.upper()}: {finding.status}   probability {probability:.3f}"
    # the map is of one item, the probability perhaps of several
    about = (
        f"{findings.pipeline}, profile {findings.profile}   Grad-CAM for {chosen}, of the study itself, not mirrored"
    )
    where = f"slice {at[2]} of 0 to {len(cam.weights[2]) - 1}, where it is strongest; a map of {_grid(cam)} regions"
    nothing = "nothing in the volume speaks for it: the map is 0"
    return [
        Words(headline, POSITIVE if serious else NEGATIVE, headline=True),
        Words(about),
        Words(where if cam.coarse.any() else nothing),
    ]


def _grid(cam: Upsampled) -> str:
    return " x ".join(map(str, cam.coarse.shape))


@dataclass(frozen=True, slots=True)
class _Plane:
    """A plane to draw: ``values`` in HU and ``heat`` 0..1, both ``(down, right)``; the size of their pixels in mm.

    ``letters`` are those of patient directions at its left, right, upper and lower edge; empty when not known.
    """

    values: npt.NDArray[Any]
    heat: npt.NDArray[np.float64]
    down_mm: float
    right_mm: float
    letters: tuple[str, str, str, str]

    def fitted(self, width: int, height: int) -> Image.Image:
        """The plane in true proportions, as large as fits."""
        down, right = self.values.shape
        scale = min(width / (right * self.right_mm), height / (down * self.down_mm))
        size = (max(round(right * self.right_mm * scale), 1), max(round(down * self.down_mm * scale), 1))
        coloured = Image.fromarray(blended(self.values, self.heat)).resize(size, Image.Resampling.BILINEAR)
        _write_letters(coloured, self.letters)
        return coloured


def _planes(image: DecodedImage, cam: Upsampled, at: tuple[int, int, int], longest: int) -> Image.Image:
    """The axial slice, right of it the coronal and the sagittal plane below each other, under all the colour scale."""
    x, y, z = at
    geometry = image.description.geometry
    right_mm, down_mm, up_mm = geometry.spacing_mm if geometry else (1.0, 1.0, 1.0)
    (left, right), (front, back), (first, last) = _ends(geometry)
    pixels = image.pixels
    axial = _Plane(pixels[z], cam.plane(2, z).T, down_mm, right_mm, (left, right, front, back))
    # towards the head is up: slices are sorted along the third axis, mostly feet first
    up = -1 if last != "F" else 1
    top, bottom = (last, first) if up < 0 else (first, last)
    coronal = _Plane(pixels[::up, y, :], cam.plane(1, y).T[::up], up_mm, right_mm, (left, right, top, bottom))
    sagittal = _Plane(pixels[::up, :, x], cam.plane(0, x).T[::up], up_mm, down_mm, (front, back, top, bottom))
    return _side_by_side(axial.fitted(longest, longest), coronal, sagittal)


def _side_by_side(axial: Image.Image, coronal: _Plane, sagittal: _Plane) -> Image.Image:
    width = round(axial.width * (1 / _AXIAL_SHARE - 1)) - _GAP_PX
    upper, lower = (plane.fitted(width, max((axial.height - _GAP_PX) // 2, 1)) for plane in (coronal, sagittal))
    legend = _legend(axial.width + _GAP_PX + width)
    height = max(axial.height, upper.height + _GAP_PX + lower.height)
    canvas = Image.new("RGB", (legend.width, height + _GAP_PX + legend.height))
    canvas.paste(axial, (0, 0))
    canvas.paste(upper, (axial.width + _GAP_PX, 0))
    canvas.paste(lower, (axial.width + _GAP_PX, upper.height + _GAP_PX))
    canvas.paste(legend, (0, height + _GAP_PX))
    return canvas


def blended(values: npt.NDArray[Any], heat: npt.NDArray[np.float64]) -> Rgb:
    """HU in the window as grey, under the colour of ``heat`` (0..1): ``(down, right, 3)``. Where it is 0, just grey."""
    low, high = WINDOW_HU
    grey = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)[..., None] * 255.0
    share = STRENGTH * np.clip(heat, 0.0, 1.0)[..., None]
    return np.asarray(np.rint(grey * (1 - share) + _colour(heat) * share), np.uint8)


def _colour(heat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Colours ``(..., 3)`` of values 0..1."""
    steps = np.linspace(0.0, 1.0, len(_COLOURS))
    return np.stack([np.interp(heat, steps, channel) for channel in _COLOURS.T], axis=-1)


def _legend(width: int) -> Image.Image:
    """The colours from 0 to 1 as they look over mid-grey, with their values."""
    font = scalable_font(max(width // 70, 12))
    bar = round(font.size * 0.8)
    legend = Image.new("RGB", (width, bar + round(font.size * 1.5)))
    ramp = np.broadcast_to(np.linspace(0.0, 1.0, width), (bar, width))
    legend.paste(Image.fromarray(blended(np.full(ramp.shape, sum(WINDOW_HU) / 2), ramp)), (0, 0))
    draw = ImageDraw.Draw(legend)
    for share, anchor in ((0.0, "lt"), (0.25, "mt"), (0.5, "mt"), (0.75, "mt"), (1.0, "rt")):
        words = {0.0: "0 (nothing)", 1.0: "1 (most, in this map)"}.get(share, f"{share:g}")
        draw.text((round(share * (width - 1)), bar + font.size * 0.3), words, font=font, fill=WHITE, anchor=anchor)
    return legend


def _ends(geometry: VolumeGeometry | None) -> tuple[tuple[str, str], tuple[str, str], tuple[str, str]]:
    """Where each axis of the volume (columns, rows, slices) comes from and goes to, as letters; empty when unknown."""
    if geometry is None:
        return ("", ""), ("", ""), ("", "")
    axes = np.reshape(geometry.direction, (3, 3)).T
    i, j, k = (_ends_of(axis) for axis in axes)
    return i, j, k


def _ends_of(axis: npt.NDArray[np.float64]) -> tuple[str, str]:
    """The letters of an LPS direction: where it comes from, where it goes to (R L, A P, F H)."""
    main = int(np.argmax(np.abs(axis)))
    low, high = ("RL", "AP", "FH")[main]
    return (low, high) if axis[main] > 0 else (high, low)


def _write_letters(plane: Image.Image, letters: tuple[str, str, str, str]) -> None:
    width, height = plane.size
    font = scalable_font(max(max(width, height) // 36, 12))
    left, right, top, bottom = letters
    places = (
        (left, (3, height // 2), "lm"),
        (right, (width - 3, height // 2), "rm"),
        (top, (width // 2, 2), "mt"),
        (bottom, (width // 2, height - 3), "mb"),
    )
    draw = ImageDraw.Draw(plane)
    for letter, place, anchor in places:
        draw.text(place, letter, font=font, fill=WHITE, anchor=anchor, stroke_width=2, stroke_fill=BLACK)
