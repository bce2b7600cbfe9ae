"""A folder of DICOM files in, a network's tensor out: by the service's own functions, and straightforwardly.

The straightforward ways are what one writes with the usual libraries, as the trained systems did: the whole series read
by pydicom or SimpleITK into one float32 volume, then MONAI's transforms (abdomen), or SimpleITK's resampling and
windows (head). Both leave out what those systems do besides and to no effect, such as writing a NIfTI file in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import NormalizeIntensity
from monai.transforms.spatial.array import Resize
from monai.transforms.utility.array import EnsureChannelFirst, EnsureType
from PIL import Image

from radserve_contract.ct import VolumeLabelsProfile
from radserve_contract.pipelines import abdominal_trauma, head_ct
from radserve_contract.spec import PipelineSpec
from radserve_preproc.cores import usable_cores
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.prepare.area_pool import volume_tensor
from radserve_preproc.prepare.windows import windowed
from radserve_preproc.study import DecodedImage, RawStudy

Tensor = npt.NDArray[Any]
sitk: Any = SimpleITK  # not typed
Way = Callable[[Path], tuple[Tensor, dict[str, float]]]

ABDOMEN = abdominal_trauma.NETWORK.inputs[0]
HEAD: VolumeLabelsProfile = head_ct.DEPLOYED


def _decode_and(prepare: Callable[[DecodedImage], Tensor], spec: PipelineSpec) -> Way:
    """The service's way, from the bytes that it would have received."""

    def way(folder: Path) -> tuple[Tensor, dict[str, float]]:
        began = perf_counter()
        first, *further = (path.read_bytes() for path in folder.iterdir())
        read = perf_counter()
        limits = DecodeLimits(threads_per_image=usable_cores())
        image = decode(RawStudy(first, tuple(further)), spec, spec.profile(), limits)
        decoded = perf_counter()
        tensor = prepare(image)
        return tensor, {"read": read - began, "decode": decoded - read, "prepare": perf_counter() - decoded}

    return way


def _stack_and(stack: Callable[[Path], tuple[Tensor, float]], prepare: Callable[[Tensor, float], Tensor]) -> Way:
    """A straightforward way: the volume ``(Z, Y, X)`` float32 in HU with its slice distance, then the tensor."""

    def way(folder: Path) -> tuple[Tensor, dict[str, float]]:
        began = perf_counter()
        volume, distance_mm = stack(folder)
        stacked = perf_counter()
        tensor = prepare(volume, distance_mm)
        return tensor, {"read and decode": stacked - began, "prepare": perf_counter() - stacked}

    return way


def with_pydicom(folder: Path) -> tuple[Tensor, float]:
    """Every file by ``dcmread``, sorted by position, rescaled; distance of the slices in mm."""
    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda ds: float(ds.ImagePositionPatient[2]))
    volume = np.stack([ds.pixel_array.astype(np.float32) * ds.RescaleSlope + ds.RescaleIntercept for ds in slices])
    distance_mm = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    return volume.astype(np.float32, copy=False), distance_mm


def with_simpleitk(folder: Path) -> tuple[Tensor, float]:
    """The series in GDCM's order, as the abdominal system's training read it."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    return sitk.GetArrayFromImage(image).astype(np.float32), float(image.GetSpacing()[2])


def with_monai(volume: Tensor, _distance_mm: float) -> Tensor:
    """``(1, 1, X, Y, Z)`` as the abdominal system makes it."""
    transforms = Compose(
        [
            EnsureChannelFirst(channel_dim=0),
            EnsureType(),
            Resize(ABDOMEN.dims[1:], mode="area"),
            NormalizeIntensity(nonzero=True, channel_wise=True),
        ]
    )
    return np.asarray(transforms(volume.transpose(2, 1, 0)[None]))[None]


def with_windows(volume: Tensor, distance_mm: float) -> Tensor:
    """``(1, 28, 3, 224, 224)`` uint8: all of it resliced to 5 mm, the middle slices resized and windowed."""
    reslice, (_, _, rows, columns) = HEAD.reslice, head_ct.STACK.dims
    resliced = _resliced(volume, distance_mm, reslice.spacing_mm)
    first = (len(resliced) - reslice.slices) // 2
    seen = [
        np.asarray(Image.fromarray(values).resize((columns, rows), Image.Resampling.BILINEAR))
        for values in resliced[first : first + reslice.slices]
    ]
    windows = [
        np.clip((np.stack(seen) - (window.center - window.width / 2)) / window.width, 0, 1) for window in HEAD.windows
    ]
    return np.rint(255 * np.stack(windows, axis=1)).astype(np.uint8)[None]


def _resliced(volume: Tensor, distance_mm: float, wanted_mm: float) -> Tensor:
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((1.0, 1.0, distance_mm))
    slices, rows, columns = volume.shape
    size = (columns, rows, round(slices * distance_mm / wanted_mm))
    resampled = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), (1.0, 1.0, wanted_mm), image.GetDirection()
    )
    values: Tensor = sitk.GetArrayFromImage(resampled)
    return values


SERVICE = "the service"
WAYS: Mapping[str, Mapping[str, Way]] = {
    abdominal_trauma.SPEC.name: {
        SERVICE: _decode_and(lambda image: volume_tensor(image.pixels, ABDOMEN), abdominal_trauma.SPEC),
        "pydicom + MONAI": _stack_and(with_pydicom, with_monai),
        "SimpleITK + MONAI": _stack_and(with_simpleitk, with_monai),
    },
    head_ct.SPEC.name: {
        SERVICE: _decode_and(lambda image: windowed(image, HEAD).tensor, head_ct.SPEC),
        "pydicom + SimpleITK": _stack_and(with_pydicom, with_windows),
    },
}
"""By pipeline and name; functions of a folder that holds nothing but the series."""
TOLERANCE = {abdominal_trauma.SPEC.name: 1e-5, head_ct.SPEC.name: 1.0}
"""How far the tensors may differ: rounding of the mean (abdomen), one of 256 levels (head)."""
