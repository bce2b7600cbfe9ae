"""A head CT in Hounsfield units in, the network's tensor out: 5 mm slices, the middle 28, three windows each, 8 bits.

The trained system's preparation is not public; what is fixed here is our best guess (docs/model-cards/head_ct.md). Only
the slices that are looked at are made, one after the other, so nothing grows with the size of the scan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_contract.ct import HuWindow, Reslice, VolumeLabelsProfile
from radserve_contract.findings import VolumeGeometry
from radserve_contract.spec import DType, TensorSpec
from radserve_contract.volumes import SPACING_TOLERANCE, VolumeFault
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.study import DecodedImage

Volume = npt.NDArray[Any]
Slice = npt.NDArray[np.float32]

LEAST_SHARE = 0.25
"""A scan that fills less than a quarter of the slices is refused: the network would look at padding."""
UPRIGHT = "turned to the usual view: patient's right on the left, front at the top, lowest slice first"


@dataclass(frozen=True, slots=True)
class Windowed:
    """``tensor`` is ``(1, slices, windows, rows, columns)`` uint8, contiguous; ``changes`` say how it came about."""

    tensor: npt.NDArray[np.uint8] = field(repr=False)
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Which slices the network sees, on a scan resliced to ``resliced`` slices.

    ``positions`` are those of the seen slices among the original ones, as fractions of their distance; ``below`` and
    ``above`` are the empty slices on either side of them.
    """

    resliced: int
    positions: npt.NDArray[np.float64]
    below: int
    above: int


def windowed(image: DecodedImage, profile: VolumeLabelsProfile) -> Windowed:
    """Prepare the volume of ``image``, in HU.

    Raises
    ------
    UnfitVolume
        When the volume has no geometry, is not axial, unevenly spaced, too short, or not finite.
    ValueError
        When the contract's tensor does not fit its windows and slices.
    """
    tensor = _checked(profile)
    geometry = _checked_geometry(image)
    volume = upright(image.pixels, geometry.direction)
    cut = cut_of(len(volume), geometry.spacing_mm[2], profile.reslice)
    if len(cut.positions) < LEAST_SHARE * profile.reslice.slices:
        raise UnfitVolume(
            VolumeFault.FEW_SLICES,
            f"the scan is {len(volume)} slices of {geometry.spacing_mm[2]:.3g} mm, {cut.resliced} of"
            f" {profile.reslice.spacing_mm:g} mm; the network looks at {profile.reslice.slices}, and a quarter of them"
            " must be there. Send the whole head",
        )
    stack = _stack(volume, cut, profile, tensor)
    turned = (UPRIGHT,) if volume.strides != image.pixels.strides else ()
    return Windowed(stack[None], turned + _changes(geometry, cut, profile.reslice))


def upright(pixels: Volume, direction: tuple[float, ...]) -> Volume:
    """A view of ``(slices, rows, columns)``: columns run to the patient's left, rows to the back, slices upwards.

    ``direction`` is that of ``VolumeGeometry``. Of an axial volume; turned by quarters at most, nothing is resampled.
    """
    axes = np.reshape(direction, (3, 3))
    if abs(axes[0, 0]) < abs(axes[0, 1]):
        pixels, axes = pixels.swapaxes(1, 2), axes[:, [1, 0, 2]]
    forwards = [slice(None, None, 1 if axes[axis, axis] >= 0 else -1) for axis in (2, 1, 0)]
    return pixels[tuple(forwards)]


def cut_of(slices: int, spacing_mm: float, reslice: Reslice) -> Cut:
    """Where the seen slices lie in a scan of ``slices`` slices ``spacing_mm`` apart.

    As dipy.align.reslice: ``round(slices * spacing / new spacing)`` slices (a half to the even number), the first on
    the first. A last one that so lies up to half a new spacing beyond the scan repeats its last slice, where dipy would
    write 0 HU.
    """
    resliced = int(np.round(slices * (spacing_mm / reslice.spacing_mm)))
    first = max((resliced - reslice.slices) // 2, 0)
    seen = min(resliced, reslice.slices)
    positions = np.minimum(np.arange(first, first + seen) * (reslice.spacing_mm / spacing_mm), slices - 1)
    missing = reslice.slices - seen
    return Cut(resliced, positions, below=missing // 2, above=missing - missing // 2)


def _stack(volume: Volume, cut: Cut, profile: VolumeLabelsProfile, tensor: TensorSpec) -> npt.NDArray[np.uint8]:
    """Every seen slice at the tensor's size in every window, ``tensor.dims``; padding around them."""
    slices, _, rows, columns = tensor.dims
    stack = np.empty((slices, len(profile.windows), rows, columns), np.uint8)
    stack[:] = in_windows(np.full((1, 1), profile.reslice.padding_hu, np.float32), profile.windows)
    for target, position in zip(stack[cut.below :], cut.positions, strict=False):
        target[:] = in_windows(_resized(_between(volume, float(position)), rows, columns), profile.windows)
    return stack


def _between(volume: Volume, position: float) -> Slice:
    """The slice at ``position``, linearly between its neighbours, in float32."""
    before = math.floor(position)
    share = np.float32(position - before)
    lower: npt.NDArray[np.float32] = volume[before].astype(np.float32)
    if share:
        lower += share * (volume[before + 1].astype(np.float32) - lower)
    return lower


def _resized(values: Slice, rows: int, columns: int) -> Slice:
    """At another size, aspect ignored: Pillow's antialiased bilinear on Hounsfield units in float32.

    Raises
    ------
    UnfitVolume
        When NaN or infinity is in it.
    """
    resized = np.asarray(Image.fromarray(values).resize((columns, rows), Image.Resampling.BILINEAR))
    if not np.isfinite(resized).all():
        raise UnfitVolume(VolumeFault.NOT_HOUNSFIELD, "the scan holds NaN or infinity; send Hounsfield units")
    return resized


def in_windows(values: Slice, windows: tuple[HuWindow, ...]) -> npt.NDArray[np.uint8]:
    """``(rows, columns)`` HU as ``(windows, rows, columns)``: each window on 0 to 255, to the nearest whole number."""
    scaled = np.empty((len(windows), *values.shape), np.float32)
    for channel, window in zip(scaled, windows, strict=True):
        np.subtract(values, np.float32(window.center - window.width / 2), out=channel)
        channel *= np.float32(255 / window.width)
    return np.rint(np.clip(scaled, 0, 255, out=scaled), out=scaled).astype(np.uint8)


def _checked(profile: VolumeLabelsProfile) -> TensorSpec:
    (item,) = profile.inputs
    tensor = item.tensor
    if tensor.dims[:2] != (profile.reslice.slices, len(profile.windows)) or tensor.dtype is not DType.UINT8:
        raise ValueError(f"tensor {tensor.name} {tensor.dims} does not hold the slices and windows of {profile.name}")
    return tensor


def _checked_geometry(image: DecodedImage) -> VolumeGeometry:
    geometry = image.description.geometry
    if geometry is None or image.pixels.ndim != 3:
        raise UnfitVolume(
            VolumeFault.MISSING_SPACING,
            "one picture without a distance between slices; the network looks at a whole scan. Send a DICOM series or"
            " a NIfTI volume",
        )
    if abs(geometry.direction[8]) < math.cos(math.radians(30)):
        raise UnfitVolume(VolumeFault.NOT_AXIAL, "the slices are not axial within 30 degrees; send an axial series")
    if image.positions_mm is not None and len(image.positions_mm) > 1:
        spacing = geometry.spacing_mm[2]
        if (np.abs(np.diff(image.positions_mm) - spacing) > max(SPACING_TOLERANCE * spacing, 0.05)).any():
            raise UnfitVolume(
                VolumeFault.UNEVEN_SPACING,
                f"the slices are not {spacing:.3g} mm apart throughout; reslicing needs that",
            )
    return geometry


def _changes(geometry: VolumeGeometry, cut: Cut, reslice: Reslice) -> tuple[str, ...]:
    """Sentences for the answer: reslicing, and what was left out or added."""
    spacing = geometry.spacing_mm[2]
    changes = [f"resliced from {spacing:.4g} mm to {reslice.spacing_mm:g} mm, linearly"]
    left_out = cut.resliced - len(cut.positions)
    if left_out:
        first = (cut.resliced - reslice.slices) // 2
        changes.append(
            f"only the middle {reslice.slices} of {cut.resliced} slices were looked at: {first} below and"
            f" {left_out - first} above were not"
        )
    if cut.below or cut.above:
        changes.append(
            f"{cut.below} empty slices below and {cut.above} above ({reslice.padding_hu:g} HU) were added to make"
            f" {reslice.slices}"
        )
    return tuple(changes)
