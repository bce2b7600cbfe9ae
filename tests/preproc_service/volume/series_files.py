"""CT slices by their properties in, files as they would be uploaded out; and what the decoder makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, generate_uid

from radserve_contract.findings import VolumeGeometry
from radserve_contract.pipelines.head_ct import SPEC as HEAD_CT
from radserve_contract.spec import BodyPartGate, PipelineSpec
from radserve_contract.volumes import Handling, SeriesChoice, Values, VolumeFault, VolumeRules
from radserve_preproc.errors import RadserveError
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import DecodedImage
from radserve_preproc.volume import decode_series
from tests.dicom_files import PATIENT_WORDS, make_radiograph

ROWS, COLUMNS = 6, 8
ANY_PART = BodyPartGate(frozenset(), frozenset())


def uid(*words: object) -> str:
    """A UID that is the same for the same words."""
    return str(generate_uid(entropy_srcs=list(map(str, words))))


def picture(seed: int = 0, rows: int = ROWS, columns: int = COLUMNS) -> npt.NDArray[np.uint16]:
    """Stored values of tissue, 900 to 1199, different for each ``seed``."""
    return np.random.default_rng(seed).integers(900, 1200, (rows, columns), dtype=np.uint16)


def ct_slice(
    z: float = 0.0,
    pixels: npt.NDArray[Any] | None = None,
    *,
    series: str = "main",
    number: int | None = None,
    bits_stored: int = 12,
    transfer_syntax: str = "1.2.840.10008.1.2.1",
    encoded: bytes | None = None,
    **elements: Any,
) -> bytes:
    """A CT file at height ``z`` mm: 6 x 8 pixels of 2 x 3 mm (rows 2 apart, columns 3), -1024 HU at a stored 0."""
    order = round(z * 10) if number is None else number
    image = picture(order + 1000) if pixels is None else pixels
    header: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "Modality": "CT",
        "BodyPartExamined": "HEAD",
        "StudyDescription": None,
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPInstanceUID": uid(series, z, order, image.tobytes()),
        "SeriesInstanceUID": uid(series),
        "InstanceNumber": order,
        "ImagePositionPatient": [-10.0, -20.0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [2.0, 3.0],
        "SliceThickness": 5.0,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
    }
    return make_radiograph(
        image, bits_stored=bits_stored, transfer_syntax=transfer_syntax, encoded=encoded, **(header | elements)
    )


def ct_series(heights: Any = range(0, 50, 5), **common: Any) -> list[bytes]:
    """A slice at each height."""
    return [ct_slice(float(z), **common) for z in heights]


def tilted_series(degrees: float = 20.0, slices: int = 10, step_mm: float = 5.0, **common: Any) -> list[bytes]:
    """Slices whose gantry was tilted around the patient's left-right axis; the table moved along z."""
    tilt = np.radians(degrees)
    orientation = [1.0, 0.0, 0.0, 0.0, float(np.cos(tilt)), -float(np.sin(tilt))]
    return [
        ct_slice(step_mm * k, **({"ImageOrientationPatient": orientation, "number": k + 1} | common))
        for k in range(slices)
    ]


def enhanced_ct(
    pixels: npt.NDArray[Any],
    heights: list[float],
    *,
    intercepts: list[float] | None = None,
    shared_rescale: bool = True,
    **elements: Any,
) -> bytes:
    """An Enhanced CT: ``pixels`` ``(frames, rows, columns)``, with positions per frame and the rest shared."""
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[2.0, 3.0], SliceThickness=5.0)]
    if intercepts is None and shared_rescale:
        shared.PixelValueTransformationSequence = [_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
    frames = []
    for index, z in enumerate(heights):
        frame = Dataset()
        frame.PlanePositionSequence = [_item(ImagePositionPatient=[-10.0, -20.0, z])]
        if intercepts is not None:
            frame.PixelValueTransformationSequence = [_item(RescaleSlope=1, RescaleIntercept=intercepts[index])]
        frames.append(frame)
    content = pixels.reshape(-1, pixels.shape[2])
    header = {
        "SOPClassUID": EnhancedCTImageStorage,
        "Modality": "CT",
        "BodyPartExamined": "HEAD",
        "StudyDescription": None,
        "SeriesInstanceUID": uid("enhanced"),
        "Rows": pixels.shape[1],
        "NumberOfFrames": len(heights),
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
    }
    return make_radiograph(content, **(header | elements))


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def rules(default: Handling = Handling.CORRECT, **changes: Any) -> PipelineSpec:
    """A pipeline that treats every fault as ``default`` says, but those named as ``FAULT=Handling``.

    Other keywords replace fields of ``VolumeRules``.
    """
    handling = dict.fromkeys(VolumeFault, default)
    for name in list(changes):
        if name in VolumeFault.__members__:
            handling[VolumeFault[name]] = changes.pop(name)
    plain = VolumeRules(Values.HOUNSFIELD, 1, 1000, SeriesChoice(1), tuple(handling.items()))
    return replace(HEAD_CT, volumes=replace(plain, **changes), gate=ANY_PART)


def decoded(files: list[bytes], spec: PipelineSpec | None = None, *, series: str | None = None, **limits: Any):
    return decode_series(files, spec or rules(), DecodeLimits(**({"threads_per_image": 2} | limits)), series=series)


def refused(
    files: list[bytes], error: type[RadserveError], spec: PipelineSpec | None = None, **options: Any
) -> RadserveError:
    """The error, which must be exactly that class and tell nothing about the patient or the study."""
    with pytest.raises(error) as caught:
        decoded(files, spec, **options)
    assert type(caught.value) is error
    said = f"{caught.value.message} {caught.value.details}"
    assert not [word for word in (*PATIENT_WORDS, "1.2.826") if word in said]
    return caught.value


def codes(image: DecodedImage) -> list[str]:
    return [warning.code for warning in image.warnings if warning.code != "BODY_PART_UNKNOWN"]


def geometry(image: DecodedImage) -> VolumeGeometry:
    assert image.description.geometry is not None
    return image.description.geometry
