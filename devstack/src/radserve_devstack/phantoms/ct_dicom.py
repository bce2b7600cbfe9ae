"""A volume in Hounsfield units in, the DICOM files of an axial CT series out (PS3.3 A.3), labelled synthetic."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from radserve_devstack.phantoms.dicom import patient_and_study, uid
from radserve_devstack.phantoms.solids import Grid, Volume

RESCALE_INTERCEPT = -1024


def ct_series(
    volume: Volume,
    grid: Grid,
    *,
    name: str,
    body_part_examined: str,
    description: str,
    window: tuple[int, int],
    bits_stored: int = 12,
    is_signed: bool = False,
    transfer_syntax_uid: str = ExplicitVRLittleEndian,
) -> list[bytes]:
    """One DICOM file per slice, the lowest first; ``name`` fixes the UIDs.

    ``volume`` is ``(slices, rows, columns)`` in HU; stored values are HU + 1024, unsigned, 12 or 16 bits, or, when
    ``is_signed``, the HU themselves.
    ``window`` is (centre, width). Compressed transfer syntaxes are those pydicom can encode: JPEG 2000 and RLE.
    """
    files = []
    for k, pixels in enumerate(volume):
        ds = Dataset()
        patient_and_study(ds, name, description, modality="CT", model_name="CT phantom")
        ds.BodyPartExamined = body_part_examined
        _instance(ds, name, k)
        _plane(ds, grid, k)
        _image(ds, pixels, window, bits_stored, is_signed=is_signed)
        files.append(_encoded(ds, transfer_syntax_uid))
    return files


def _instance(ds: Dataset, name: str, k: int) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid(name, "instance", str(k))
    ds.InstanceNumber, ds.AcquisitionNumber = k + 1, 1
    ds.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    ds.DerivationDescription = "Drawn by a program; no patient"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"  # the words in it identify nobody
    ds.KVP = None


def _plane(ds: Dataset, grid: Grid, k: int) -> None:
    """Frame of Reference and Image Plane modules (PS3.3 C.7.4.1, C.7.6.2)."""
    x, y, z = grid.origin_mm
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(ds.SeriesInstanceUID, "frame of reference"), ""
    ds.PatientPosition = "HFS"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.ImagePositionPatient = [round(mm, 6) for mm in (x, y, z + k * grid.spacing_mm[2])]
    ds.PixelSpacing = [round(mm, 6) for mm in (grid.spacing_mm[1], grid.spacing_mm[0])]
    ds.SliceThickness = ds.SpacingBetweenSlices = round(grid.spacing_mm[2], 6)
    ds.SliceLocation = ds.ImagePositionPatient[2]


def _image(
    ds: Dataset, pixels: npt.NDArray[np.int16], window: tuple[int, int], bits_stored: int, *, is_signed: bool
) -> None:
    """Image Pixel and CT Image modules (PS3.3 C.7.6.3, C.8.2.1)."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = (
        16,
        bits_stored,
        bits_stored - 1,
        int(is_signed),
    )
    intercept = 0 if is_signed else RESCALE_INTERCEPT
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, intercept, "HU"
    ds.WindowCenter, ds.WindowWidth = window
    ds.PixelData = (pixels.astype(np.int32) - intercept).astype("<i2" if is_signed else "<u2").tobytes()


def _encoded(ds: Dataset, transfer_syntax_uid: str) -> bytes:
    if transfer_syntax_uid != ExplicitVRLittleEndian:
        ds.compress(transfer_syntax_uid, generate_instance_uid=False)
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()
