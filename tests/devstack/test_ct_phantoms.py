"""The CT phantoms: the same volumes everywhere, valid series, true geometry, no patient."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import time
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.uid import CTImageStorage, JPEG2000Lossless

from radserve_contract import gates
from radserve_devstack.phantoms.ct import CtPhantom, PhantomKind, ct_phantom

KINDS = list(PhantomKind)
VARIANTS = [(kind, lesion) for kind in KINDS for lesion in (False, True)]
SHA256 = {  # the first 16 digits
    (PhantomKind.HEAD, False): "0358651f75911594",
    (PhantomKind.HEAD, True): "f0f600ab97c1b096",
    (PhantomKind.CHEST, False): "2a452bb254250c2f",
    (PhantomKind.CHEST, True): "0ac8927b2585931c",
    (PhantomKind.ABDOMEN, False): "5cce642f112434d4",
    (PhantomKind.ABDOMEN, True): "45055d8bb3eea10c",
}
GATES = {PhantomKind.HEAD: gates.HEAD, PhantomKind.CHEST: gates.CHEST, PhantomKind.ABDOMEN: gates.ABDOMEN}


@pytest.fixture(scope="module")
def phantoms() -> dict[tuple[PhantomKind, bool], CtPhantom]:
    """All six: 40 slices of 256 x 256."""
    return {(kind, lesion): ct_phantom(kind, lesion=lesion) for kind, lesion in VARIANTS}


def digest(phantom: CtPhantom) -> str:
    """Of the voxels, little-endian."""
    return hashlib.sha256(phantom.volume.astype("<i2").tobytes()).hexdigest()


@pytest.mark.parametrize(("kind", "lesion"), VARIANTS)
def test_it_has_the_same_bits_on_every_machine(phantoms: Any, kind: PhantomKind, lesion: bool) -> None:
    assert digest(phantoms[kind, lesion])[:16] == SHA256[kind, lesion]


def test_it_needs_no_random_state(phantoms: Any) -> None:
    program = (
        "import sys, hashlib, numpy, random; numpy.random.seed(7); random.seed(7)\n"
        "from radserve_devstack.phantoms.ct import ct_phantom\n"
        "print(hashlib.sha256(ct_phantom('chest').volume.astype('<i2').tobytes()).hexdigest(), 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.split() == [digest(phantoms[PhantomKind.CHEST, True]), "False"]


# (x, y, z) in mm, LPS: what must be there, least and most HU on average over 5 mm; with a lesion, and without
TISSUES = {
    (PhantomKind.HEAD, (24.0, -4.0, 12.0)): ((60, 76), (20, 45)),  # deep bleed on the left
    (PhantomKind.HEAD, (-69.0, 0.0, 5.0)): ((900, 1100), (900, 1100)),  # skull, right
    (PhantomKind.CHEST, (-100.0, 45.0, -50.0)): ((-600, -100), (-900, -800)),  # ground glass, right lung
    (PhantomKind.CHEST, (30.0, -28.0, -45.0)): ((25, 60), (25, 60)),  # heart, left of the middle
    (PhantomKind.ABDOMEN, (84.0, 16.0, 66.0)): ((200, 340), (-130, 140)),  # a leak beside the spleen
    (PhantomKind.ABDOMEN, (-78.0, -40.0, 100.0)): ((100, 120), (100, 120)),  # liver, on the right
    (PhantomKind.ABDOMEN, (0.0, 82.0, 0.0)): ((180, 300), (180, 300)),  # spine, at the back
}


@pytest.mark.parametrize(("place", "hu"), TISSUES.items(), ids=str)
def test_each_tissue_lies_on_its_side_with_its_density(phantoms: Any, place: Any, hu: Any) -> None:
    kind, point = place
    for lesion, (least, most) in zip((True, False), hu, strict=True):
        phantom = phantoms[kind, lesion]
        where = (np.array(point) - phantom.grid.origin_mm) / phantom.grid.spacing_mm
        i, j, k = (round(float(index)) for index in where)
        assert least <= phantom.volume[k, j - 2 : j + 3, i - 2 : i + 3].mean() <= most


@pytest.mark.parametrize("kind", KINDS)
def test_lesion_and_quiet_differ_inside_and_nowhere_at_the_border(phantoms: Any, kind: PhantomKind) -> None:
    with_lesion, quiet = (phantoms[kind, lesion].volume.astype(int) for lesion in (True, False))
    assert (np.abs(with_lesion - quiet) > 15).sum() > 3000
    np.testing.assert_array_equal(with_lesion[:, :24], quiet[:, :24])


@pytest.mark.parametrize("kind", KINDS)
def test_more_slices_are_thinner_slices_of_the_same_body(kind: PhantomKind) -> None:
    few, many = ct_phantom(kind, slices=20, size=64), ct_phantom(kind, slices=60, size=64)
    assert few.grid.spacing_mm[2] == pytest.approx(3 * many.grid.spacing_mm[2])
    np.testing.assert_allclose(many.volume[1::3].mean(axis=(1, 2)), few.volume.mean(axis=(1, 2)), atol=2)


@pytest.mark.parametrize("kind", KINDS)
def test_the_series_reads_back_as_the_volume_where_it_says(phantoms: Any, kind: PhantomKind, tmp_path: Any) -> None:
    phantom = phantoms[kind, True]
    for number, content in enumerate(phantom.dicom_files()):
        (tmp_path / f"{number}.dcm").write_bytes(content)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path)))
    image = reader.Execute()
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), phantom.volume)
    np.testing.assert_allclose(image.GetOrigin(), phantom.grid.origin_mm, atol=1e-4)
    np.testing.assert_allclose(image.GetSpacing(), phantom.grid.spacing_mm, atol=1e-4)
    assert image.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("bits_stored", [12, 16])
def test_it_can_be_compressed_without_loss(bits_stored: int) -> None:
    phantom = ct_phantom("head", slices=3, size=64)
    for k, content in enumerate(phantom.dicom_files(bits_stored=bits_stored, transfer_syntax_uid=JPEG2000Lossless)):
        ds = pydicom.dcmread(io.BytesIO(content))
        assert ds.file_meta.TransferSyntaxUID == JPEG2000Lossless
        assert (ds.BitsStored, ds.RescaleIntercept) == (bits_stored, -1024)
        np.testing.assert_array_equal(ds.pixel_array.astype(int) - 1024, phantom.volume[k])


@pytest.mark.parametrize("kind", KINDS)
def test_the_nifti_file_lies_where_the_series_lies(phantoms: Any, kind: PhantomKind, tmp_path: Any) -> None:
    phantom = phantoms[kind, False]
    path = tmp_path / "phantom.nii.gz"
    path.write_bytes(phantom.nifti())
    image = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image), phantom.volume)
    np.testing.assert_allclose(image.GetOrigin(), phantom.grid.origin_mm, atol=1e-3)
    loaded: Any = nibabel.load(path)
    assert nibabel.aff2axcodes(loaded.affine) == ("L", "P", "S")


@pytest.mark.parametrize("kind", KINDS)
def test_headers_say_synthetic_and_name_nobody(phantoms: Any, kind: PhantomKind) -> None:
    phantom = phantoms[kind, True]
    ds = pydicom.dcmread(io.BytesIO(phantom.dicom_files()[0]))
    assert ds.SOPClassUID == ds.file_meta.MediaStorageSOPClassUID == CTImageStorage
    assert (str(ds.PatientName), ds.PatientID, ds.PatientBirthDate) == ("SYNTHETIC^PHANTOM", "SYNTHETIC", "")
    assert "SYNTHETIC PHANTOM" in ds.StudyDescription
    assert ds.BodyPartExamined in GATES[kind].wanted
    header: Any = nibabel.Nifti1Image.from_bytes(gzip.decompress(phantom.nifti())).header
    assert b"SYNTHETIC PHANTOM" in header["descrip"].item()


def test_uids_are_valid_and_fixed_and_one_study_has_one_series() -> None:
    def read(lesion: bool) -> list[Any]:
        files = ct_phantom("chest", slices=4, size=64, lesion=lesion).dicom_files()
        return [pydicom.dcmread(io.BytesIO(content)) for content in files]

    first, again, other = read(True), read(True), read(False)
    assert [ds.SOPInstanceUID for ds in first] == [ds.SOPInstanceUID for ds in again]
    assert len({ds.SOPInstanceUID for ds in (*first, *other)}) == 8
    assert len({ds.SeriesInstanceUID for ds in first}) == len({ds.StudyInstanceUID for ds in first}) == 1
    assert first[0].SeriesInstanceUID != other[0].SeriesInstanceUID
    assert all(ds.SOPInstanceUID.is_valid for ds in first)


def test_files_have_the_same_bytes_each_time() -> None:
    first, again = (ct_phantom("head", slices=3, size=64) for _ in range(2))
    assert first.dicom_files() == again.dicom_files()
    assert first.nifti() == again.nifti()


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ValueError, match="knee"):
        ct_phantom("knee")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_drawn_in_a_moment(kind: PhantomKind) -> None:
    began = time.process_time()
    ct_phantom(kind)
    assert time.process_time() - began < 2  # 0.1 s on an idle core; a wide berth for a busy machine
