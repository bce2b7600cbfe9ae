"""A film in, a DICOM file out: Digital X-Ray Image for presentation (PS3.3 A.26), labelled synthetic everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

STUDY_DATE, STUDY_TIME = "20000101", "120000"


def uid(*words: str) -> str:
    """The same UID for the same words, under 2.25-style entropy of pydicom's root."""
    return str(generate_uid(entropy_srcs=["radserve phantom", *words]))


def radiograph(
    pixels: npt.NDArray[np.uint16],
    *,
    name: str,
    pixel_spacing_mm: float,
    body_part_examined: str,
    description: str,
) -> Dataset:
    """A DX data set, uncompressed, of ``(rows, columns)`` 12-bit values; ``name`` fixes its UIDs."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = uid(name, "instance")
    patient_and_study(ds, name, description, modality="DX", model_name="spine phantom")
    ds.PresentationIntentType = "FOR PRESENTATION"
    _projection(ds, pixel_spacing_mm, body_part_examined)
    _image(ds, pixels)
    return ds


def write_j2k_lossless(ds: Dataset, path: Path) -> None:
    """Compress as JPEG 2000 lossless and write; the file appears whole or not at all."""
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    half_written = path.with_name(f".{path.name}.part")
    ds.save_as(half_written, enforce_file_format=True)
    half_written.replace(path)


def patient_and_study(ds: Dataset, name: str, description: str, *, modality: str, model_name: str) -> None:
    """Patient, study, series and equipment of a synthetic image, into ``ds``; ``name`` fixes the UIDs."""
    ds.PatientName, ds.PatientID = "SYNTHETIC^PHANTOM", "SYNTHETIC"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(name, "study"), uid(name, "series")
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = ds.AcquisitionDate = STUDY_DATE
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime = STUDY_TIME
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.SeriesNumber, ds.InstanceNumber = 1, 1
    ds.StudyDescription = ds.SeriesDescription = description
    ds.Manufacturer, ds.ManufacturerModelName = "radserve", model_name
    ds.Modality = modality


def _projection(ds: Dataset, pixel_spacing_mm: float, body_part_examined: str) -> None:
    """DX Anatomy, Positioning and Detector modules (PS3.3 C.8.11.2 to C.8.11.5)."""
    ds.BodyPartExamined, ds.ImageLaterality, ds.ViewPosition = body_part_examined, "U", "AP"
    ds.PatientOrientation = ["L", "F"]
    ds.AnatomicRegionSequence = [_code("122496007", "SCT", "Lumbar spine")]
    ds.ViewCodeSequence = [_code("399348003", "SCT", "antero-posterior")]
    ds.ViewCodeSequence[0].ViewModifierCodeSequence = []
    ds.PatientOrientationCodeSequence = [_code("102538003", "SCT", "recumbent")]
    ds.AcquisitionContextSequence = []
    ds.DetectorType = "DIRECT"
    ds.ImagerPixelSpacing = ds.PixelSpacing = [pixel_spacing_mm, pixel_spacing_mm]
    ds.PixelSpacingCalibrationType = "GEOMETRY"
    ds.PixelSpacingCalibrationDescription = "Synthetic: the phantom is drawn in mm at the detector"


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _image(ds: Dataset, pixels: npt.NDArray[np.uint16]) -> None:
    """DX Image module (PS3.3 C.8.11.3): identity presentation LUT, a window over all 12 bits."""
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.DerivationDescription = "Drawn by a program; no patient"
    ds.BurnedInAnnotation, ds.LossyImageCompression = "NO", "00"  # the words in it identify nobody
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship, ds.PixelIntensityRelationshipSign = "LOG", -1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, 0, "US"
    ds.PresentationLUTShape = "IDENTITY"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.PixelData = pixels.astype("<u2").tobytes()
