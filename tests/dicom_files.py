"""DICOM files by their properties in, bytes as they would be uploaded out. Synthetic; no patient is behind any of them.

``PATIENT_WORDS`` stand in every file: a test that looks for them in an answer, a log or a metric finds what leaks.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)

PATIENT_NAME = "CANARY^WILHELMINA"
PATIENT_ID = "PID-7734501"
PATIENT_BIRTH_DATE = "19310713"
PATIENT_WORDS = ("CANARY", "WILHELMINA", PATIENT_ID, PATIENT_BIRTH_DATE)


def texture(rows: int, columns: int, *, bits: int = 12, seed: int = 0) -> npt.NDArray[np.uint16]:
    """A grey picture with structure at several scales that uses the whole range of ``bits``: ``(rows, columns)``."""
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    waves = np.sin(9 * x + seed) * np.cos(7 * y) + 0.3 * np.sin(60 * x * y + seed)
    noisy = waves + 0.05 * np.random.default_rng(seed).standard_normal((rows, columns))
    scaled = (noisy - noisy.min()) / np.ptp(noisy)
    return np.asarray(np.rint(scaled * (2**bits - 1)), dtype=np.uint16)


def make_radiograph(
    pixels: npt.NDArray[Any] | None = None,
    *,
    transfer_syntax: UID | str = ExplicitVRLittleEndian,
    bits_stored: int = 12,
    encoded: bytes | None = None,
    **elements: Any,
) -> bytes:
    """A single-frame radiograph as a DICOM file.

    Parameters
    ----------
    pixels
        ``(rows, columns)``, or ``(rows, columns, 3)`` for colour; signed dtypes give Pixel Representation 1. Default: a
        320 x 256 texture.
    transfer_syntax
        Any uncompressed one; RLE, JPEG-LS or JPEG 2000 are encoded here; others need ``encoded``.
    encoded
        The frame's code stream as it stands, for ``transfer_syntax``; ``pixels`` then only gives the header.
    elements
        DICOM keywords that replace what would be written; None removes the element.
    """
    image = texture(320, 256, bits=bits_stored) if pixels is None else pixels
    ds = _header(SOPClassUID=ComputedRadiographyImageStorage, Modality="CR")
    ds.BodyPartExamined = "LSPINE"
    ds.StudyDescription = "Lumbar spine"
    _set_pixels(ds, image, bits_stored)
    _set_transfer_syntax(ds, image, UID(transfer_syntax), encoded)
    return to_bytes(_edited(ds, elements))


def make_object(sop_class: UID, modality: str, **elements: Any) -> bytes:
    """A DICOM object without pixels: a report, a document, a structure set, a waveform."""
    return to_bytes(_edited(_header(SOPClassUID=sop_class, Modality=modality), elements))


def to_bytes(ds: Dataset) -> bytes:
    """The data set as a file with preamble and file meta information (PS3.10 section 7.1)."""
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _header(**elements: Any) -> Dataset:
    """Identity and file meta information that every object has."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.PatientName, ds.PatientID, ds.PatientBirthDate = PATIENT_NAME, PATIENT_ID, PATIENT_BIRTH_DATE
    for level in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(ds, level, generate_uid(entropy_srcs=[level]))
    return _edited(ds, elements)


def _edited(ds: Dataset, elements: dict[str, Any]) -> Dataset:
    """``ds`` with elements set, or removed when None; file meta information kept in step."""
    for keyword, value in elements.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", ComputedRadiographyImageStorage)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", generate_uid())
    return ds


def _set_pixels(ds: Dataset, pixels: npt.NDArray[Any], bits_stored: int) -> None:
    """The Image Pixel module (PS3.3 C.7.6.3) of ``pixels``, uncompressed and little endian."""
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored = min(bits_stored, ds.BitsAllocated)
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.PixelData = _padded(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"


def _set_transfer_syntax(ds: Dataset, pixels: npt.NDArray[Any], syntax: UID, encoded: bytes | None) -> None:
    """Bring Pixel Data and file meta information into ``syntax``."""
    if encoded is not None:
        ds.PixelData = encapsulate([encoded])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    elif syntax.is_compressed and not syntax.is_deflated:
        # gdcm, which pydicom would take for RLE where it is installed, aborts the process on signed bytes
        plugin = "pydicom" if syntax == RLELossless else ""
        ds.compress(syntax, pixels, encoding_plugin=plugin, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        ds.PixelData = _padded(pixels.astype(pixels.dtype.newbyteorder(">")).tobytes())
    ds.file_meta.TransferSyntaxUID = syntax


def _padded(content: bytes) -> bytes:
    """To an even number of bytes (PS3.5 7.1.1)."""
    return content + b"\0" * (len(content) % 2)
