"""Head CT preprocessing against others: dipy's arithmetic, SimpleITK's resampling, torchvision's resize."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813
import torch
from torchvision.transforms.functional import InterpolationMode, resize

from radserve_contract.findings import ImageDescription, VolumeGeometry
from radserve_contract.pipelines.head_ct import DEPLOYED
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_export.head_ct_samples import rounded
from radserve_export.head_ct_samples import windowed as as_verified
from radserve_preproc.prepare.windows import cut_of, windowed
from radserve_preproc.study import DecodedImage

Floats = npt.NDArray[np.float64]
NEW_MM = DEPLOYED.reslice.spacing_mm

# slices and their distance: whole steps, thin, thick, half a step beyond the end, few, other thickness than any other
SCANS = [(40, 4.0), (64, 2.5), (33, 5.0), (26, 5.0), (30, 4.8), (25, 7.0), (36, 3.75), (51, 3.0)]


def study(pixels: npt.NDArray[np.int16], spacing_mm: float) -> DecodedImage:
    direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    geometry = VolumeGeometry((0.0, 0.0, 0.0), direction, (0.9, 0.9, spacing_mm), pixels.shape)
    return DecodedImage(pixels, ImageDescription("CT series", *pixels.shape[1:], geometry=geometry))


def head(slices: int, *, size: int = 256) -> npt.NDArray[np.int16]:
    return np.ascontiguousarray(ct_phantom("head", slices=slices, size=size).volume)


def dipy_reslice(pixels: npt.NDArray[np.int16], spacing_mm: float) -> Floats:
    """dipy 1.1's reslice along k: the matrix diag(new / old), no offset; linear, voxel by voxel, in float64.

    It writes 0 beyond the last slice; that one difference of ours is repeated here.
    """
    count = int(np.round(spacing_mm / NEW_MM * len(pixels)))
    resliced = np.empty((count, *pixels.shape[1:]))
    for k in range(count):
        at = min(k * (NEW_MM / spacing_mm), len(pixels) - 1)
        low = int(at)
        high = min(low + 1, len(pixels) - 1)
        resliced[k] = (1 - (at - low)) * pixels[low].astype(float) + (at - low) * pixels[high].astype(float)
    return resliced


def middle(resliced: Floats) -> Floats:
    """The middle 28, or all between padding."""
    surplus = len(resliced) - 28
    if surplus >= 0:
        start = int(np.floor(surplus / 2))
        return resliced[start : start + 28]
    below = -surplus // 2
    return np.pad(resliced, ((below, -surplus - below), (0, 0), (0, 0)), constant_values=-1024.0)


def in_windows(slices: Floats) -> Floats:
    """README order: brain, bone, subdural; 0 to 255."""
    limits = [(0.0, 80.0), (-800.0, 2000.0), (-20.0, 180.0)]
    return np.stack([np.clip((slices - low) / (high - low), 0, 1) * 255 for low, high in limits], axis=1)


def straightforward(pixels: npt.NDArray[np.int16], spacing_mm: float) -> Floats:
    """The whole way in float64, with torchvision's antialiased resize of tensors instead of Pillow's; not rounded."""
    slices = torch.from_numpy(middle(dipy_reslice(pixels, spacing_mm)))
    small = resize(slices, [224, 224], InterpolationMode.BILINEAR, antialias=True)
    return in_windows(small.numpy())


@pytest.mark.parametrize(("slices", "spacing_mm"), SCANS)
def test_a_scan_is_prepared_as_slow_float64_arithmetic_does(slices: int, spacing_mm: float) -> None:
    pixels = head(slices)
    expected = straightforward(pixels, spacing_mm)

    served = windowed(study(pixels, spacing_mm), DEPLOYED).tensor[0]

    assert np.abs(served - expected).max() <= 0.5 + 0.01  # nothing but the rounding
    assert served[:, 0].std() > 20  # a head, not padding


@pytest.mark.parametrize(("slices", "spacing_mm"), SCANS)
def test_slices_lie_where_simpleitk_puts_them(slices: int, spacing_mm: float) -> None:
    pixels = head(slices, size=64)
    volume = sitk.GetImageFromArray(pixels.astype(np.float32))
    volume.SetSpacing((0.9, 0.9, spacing_mm))
    cut = cut_of(slices, spacing_mm, DEPLOYED.reslice)
    inside = cut.positions < slices - 1
    start = max((cut.resliced - 28) // 2, 0)

    grid = sitk.Image([64, 64, int(inside.sum())], sitk.sitkFloat32)
    grid.SetSpacing((0.9, 0.9, NEW_MM))
    grid.SetOrigin((0.0, 0.0, start * NEW_MM))
    expected = sitk.GetArrayFromImage(sitk.Resample(volume, grid, sitk.Transform(), sitk.sitkLinear, -9999.0))

    low = np.floor(cut.positions[inside]).astype(int)
    share = (cut.positions[inside] - low)[:, None, None]
    np.testing.assert_allclose((1 - share) * pixels[low] + share * pixels[low + 1], expected, atol=0.01)
    assert inside.sum() >= len(cut.positions) - 1


def test_the_networks_are_verified_on_what_the_service_sends() -> None:
    pixels = head(32, size=224)

    served = windowed(study(pixels, NEW_MM), DEPLOYED).tensor[0]

    verified = rounded(as_verified(pixels[2:30].astype(np.float32)))
    assert np.abs(served.astype(int) - verified).max() <= 1  # a value on the border of two grey levels
    assert (served == verified).mean() > 0.999
