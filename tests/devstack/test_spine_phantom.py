"""The spine phantom: the same film everywhere, and a valid radiograph."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, JPEG2000Lossless

from radserve_contract.pipelines.spine import SPEC
from radserve_devstack.phantoms import spine

SHA256 = {
    False: "696372096b1e4a139ce10764adef0c073f358e649bec17c691748a18eccfa290",
    True: "d5c6023a9bf150f97c7d4351d1f90ba4b9a92721e41a2265702b6f630143e2c9",
}


@pytest.fixture(scope="module")
def films() -> dict[bool, npt.NDArray[np.uint16]]:
    """Normal (False) and abnormal (True)."""
    return {abnormal: spine.render(abnormal) for abnormal in (False, True)}


@pytest.fixture(scope="module")
def dicom_files(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Both films as files."""
    folder = tmp_path_factory.mktemp("phantoms")
    paths = {False: folder / "normal.dcm", True: folder / "abnormal.dcm"}
    for abnormal, path in paths.items():
        spine.write_dicom(path, abnormal)
    return paths


@pytest.mark.parametrize("abnormal", [False, True])
def test_it_has_the_same_bits_on_every_machine(films: dict[bool, npt.NDArray[np.uint16]], abnormal: bool) -> None:
    assert hashlib.sha256(films[abnormal].astype("<u2").tobytes()).hexdigest() == SHA256[abnormal]


@pytest.mark.parametrize("abnormal", [False, True])
def test_it_is_a_film_of_12_bits_that_uses_them(films: dict[bool, npt.NDArray[np.uint16]], abnormal: bool) -> None:
    film = films[abnormal]
    assert (film.shape, film.dtype) == ((2800, 2300), np.uint16)
    assert film.max() == 4095
    assert len(np.unique(film)) > 3000
    # one grey level over a quarter of the film would earn a warning of the service
    assert np.bincount(film.ravel() >> 4).max() < film.size / 4


def test_the_lesions_are_there_and_the_rest_is_the_same_anatomy(films: dict[bool, npt.NDArray[np.uint16]]) -> None:
    difference = np.abs(films[True].astype(int) - films[False])
    spine_mm = difference[400:2000, 700:1600]
    border_and_pelvis = np.concatenate([difference[:90].ravel(), difference[2400:2600, 400:1900].ravel()])
    assert np.mean(spine_mm > 300) > 0.25
    assert np.mean(border_and_pelvis > 300) < 0.01
    # metal: rods and screws, on the abnormal film alone
    implant = (slice(1450, 1900), slice(950, 1350))
    assert np.mean(films[True][implant] > 3300) > 0.08
    assert np.mean(films[False][implant] > 3300) < 0.001


def test_it_needs_no_torch_and_no_random_state(films: dict[bool, npt.NDArray[np.uint16]]) -> None:
    program = (
        "import sys, hashlib, numpy, random; numpy.random.seed(7); random.seed(7)\n"
        "from radserve_devstack.phantoms import spine\n"
        "print(hashlib.sha256(spine.render(True).astype('<u2').tobytes()).hexdigest(), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == [SHA256[True], "False"]


@pytest.mark.parametrize("abnormal", [False, True])
def test_the_dicom_file_reads_back_as_the_film(
    dicom_files: dict[bool, Path], films: dict[bool, npt.NDArray[np.uint16]], abnormal: bool
) -> None:
    ds = pydicom.dcmread(dicom_files[abnormal])
    assert ds.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 12, 11, 0)
    np.testing.assert_array_equal(ds.pixel_array, films[abnormal])


@pytest.mark.parametrize("abnormal", [False, True])
def test_the_header_is_that_of_a_synthetic_lumbar_spine_the_pipeline_takes(
    dicom_files: dict[bool, Path], abnormal: bool
) -> None:
    ds = pydicom.dcmread(dicom_files[abnormal], stop_before_pixels=True)
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == DigitalXRayImageStorageForPresentation
    assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
    assert str(ds.PatientName) == "SYNTHETIC^PHANTOM"
    assert "SYNTHETIC PHANTOM" in ds.StudyDescription
    assert ds.BodyPartExamined in SPEC.gate.wanted
    assert ds.Modality in SPEC.modalities
    assert list(ds.PixelSpacing) == list(ds.ImagerPixelSpacing) == [0.15, 0.15]
    assert ds.PhotometricInterpretation == "MONOCHROME2"
    assert ds.BurnedInAnnotation == "NO"


# PS3.3 A.26.3, C.8.11.1 to C.8.11.5: what a DX object for presentation must have with a value (type 1)
TYPE_1 = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality PresentationIntentType"
    " ImageLaterality AnatomicRegionSequence DetectorType ImagerPixelSpacing AcquisitionContextSequence"
    " ImageType SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit"
    " PixelRepresentation PixelIntensityRelationship PixelIntensityRelationshipSign RescaleIntercept RescaleSlope"
    " RescaleType PresentationLUTShape LossyImageCompression BurnedInAnnotation PatientOrientation WindowCenter"
    " WindowWidth ViewCodeSequence ViewPosition"
).split()
MAY_BE_EMPTY = {"AcquisitionContextSequence"}  # type 2
TYPE_2 = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime ReferringPhysicianName StudyID".split()


def test_every_required_element_is_there(dicom_files: dict[bool, Path]) -> None:
    ds = pydicom.dcmread(dicom_files[True], stop_before_pixels=True)
    missing = [name for name in TYPE_1 if name not in ds or (ds[name].is_empty and name not in MAY_BE_EMPTY)]
    missing += [name for name in (*TYPE_2, "AccessionNumber", "SeriesNumber", "InstanceNumber") if name not in ds]
    assert missing == []


def test_the_uids_are_valid_fixed_and_differ_between_the_films(dicom_files: dict[bool, Path], tmp_path: Path) -> None:
    def uids(path: Path) -> list[UID]:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        return [ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID]

    again = tmp_path / "again.dcm"
    spine.write_dicom(again, True)
    assert uids(again) == uids(dicom_files[True])
    assert again.read_bytes() == dicom_files[True].read_bytes()
    both = [*uids(dicom_files[False]), *uids(dicom_files[True])]
    assert len(set(both)) == 6
    assert all(uid.is_valid for uid in both)


def test_nothing_half_written_stays_behind(tmp_path: Path) -> None:
    spine.write_dicom(tmp_path / "film.dcm", False)
    assert [path.name for path in tmp_path.iterdir()] == ["film.dcm"]
    with pytest.raises(FileNotFoundError):
        spine.write_dicom(tmp_path / "no-such-folder/film.dcm", False)


def test_it_is_drawn_in_seconds() -> None:
    began = time.process_time()
    spine.render(True)
    assert time.process_time() - began < 6  # 0.5 s on an idle core; a wide berth for a busy machine
