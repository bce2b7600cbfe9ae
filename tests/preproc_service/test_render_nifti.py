"""NIfTI files out: the grid that was decoded, to a thousandth of a mm, in every program; nothing else in the file."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from radserve_contract.findings import ImageDescription, VolumeGeometry
from radserve_contract.volumes import Handling
from radserve_devstack.phantoms.ct import PhantomKind, ct_phantom
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.render_nifti import file_mask, mask_nifti, ras_affine, volume_nifti
from radserve_preproc.study import DecodedImage
from radserve_preproc.volume import decode_series
from radserve_preproc.volume.nifti import decode_nifti
from tests.preproc_service.volume.nifti_files import LIMITS, affine, hounsfield, nifti, spec, turned

SHAPE = (3, 4, 5)


def geometry(direction: npt.NDArray[np.float64] | None = None) -> VolumeGeometry:
    cosines = np.eye(3) if direction is None else direction
    return VolumeGeometry((-12.5, 31.25, 700.125), tuple(cosines.ravel().tolist()), (0.7, 0.8, 2.5), SHAPE)


def image(pixels: npt.NDArray[Any], place: VolumeGeometry | None) -> DecodedImage:
    return DecodedImage(pixels, ImageDescription("DICOM series", 4, 5, geometry=place))


def loaded(content: bytes) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def values(dtype: Any) -> npt.NDArray[Any]:
    return np.arange(60).reshape(SHAPE).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int16, np.float32, ">i2", np.uint8])
def test_nibabel_reads_the_values_back_by_index(dtype: Any) -> None:
    pixels = values(dtype)
    theirs = loaded(volume_nifti(image(pixels, geometry())))
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), pixels.transpose(2, 1, 0))
    assert theirs.header.get_data_dtype() == np.dtype(dtype).newbyteorder("<")


def test_the_affine_is_ras_and_both_forms_say_it() -> None:
    theirs = loaded(volume_nifti(image(values(np.int16), geometry())))
    by_hand = np.array([[-0.7, 0, 0, 12.5], [0, -0.8, 0, -31.25], [0, 0, 2.5, 700.125], [0, 0, 0, 1]])
    np.testing.assert_allclose(theirs.affine, by_hand, atol=1e-4)
    for form, code in (theirs.header.get_sform(coded=True), theirs.header.get_qform(coded=True)):
        np.testing.assert_allclose(form, by_hand, atol=1e-4)
        assert code == 1
    assert theirs.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("degrees", [0.0, 12.0, -25.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_simpleitk_finds_the_same_grid(degrees: float, axis: int, tmp_path: Path) -> None:
    place = geometry(turned(degrees, axis)[:3, :3])
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(volume_nifti(image(values(np.int16), place)))
    theirs = SimpleITK.ReadImage(str(path))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(theirs), values(np.int16))
    steps = np.reshape(place.direction, (3, 3)) * place.spacing_mm
    for voxel in ((0, 0, 0), (4, 3, 2)):
        wanted = place.origin_mm + steps @ voxel
        np.testing.assert_allclose(theirs.TransformIndexToPhysicalPoint(voxel), wanted, atol=1e-3)


def test_a_sheared_grid_is_true_in_the_sform() -> None:
    sheared = np.eye(3)
    sheared[:, 2] = np.array([0, 0.3, 1]) / np.linalg.norm([0, 0.3, 1])
    theirs = loaded(volume_nifti(image(values(np.int16), geometry(sheared))))
    np.testing.assert_allclose(theirs.affine, ras_affine(geometry(sheared)), atol=1e-4)


def test_a_mask_lies_on_the_grid() -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2, 1, 3] = 1
    theirs = loaded(mask_nifti(mask, geometry()))
    np.testing.assert_array_equal(np.argwhere(np.asarray(theirs.dataobj)), [[3, 1, 2]])
    np.testing.assert_allclose(theirs.affine, ras_affine(geometry()), atol=1e-4)


def test_the_same_volume_makes_the_same_bytes_without_time_or_text() -> None:
    first, again = (volume_nifti(image(values(np.int16), geometry())) for _ in range(2))
    assert first == again
    assert first[4:8] == bytes(4)  # the gzip header's time
    header = loaded(first).header
    assert all(header[name].item() == b"" for name in ("descrip", "aux_file", "intent_name", "db_name"))
    assert len(header.extensions) == 0


def test_without_a_grid_or_with_another_one_nothing_is_written() -> None:
    with pytest.raises(ValueError, match="without geometry"):
        volume_nifti(image(values(np.int16), None))
    with pytest.raises(ValueError, match="the grid is"):
        mask_nifti(np.zeros((3, 5, 4), np.uint8), geometry())


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_what_was_decoded_decodes_again_to_the_same(codes: str) -> None:
    original = nifti(hounsfield((5, 4, 3)), turned(10, 0) @ affine(codes, (0.9, 1.1, 1.6)))
    first = decode_nifti(original, spec(), LIMITS)
    again = decode_nifti(volume_nifti(first), spec(Handling.REFUSE), LIMITS)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    one, two = first.description.geometry, again.description.geometry
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(ras_affine(two), ras_affine(one), atol=1e-3)
    assert again.changes == ()


@pytest.mark.parametrize("kind", PhantomKind)
def test_a_dicom_series_becomes_the_volume_that_was_drawn(kind: PhantomKind) -> None:
    phantom = ct_phantom(kind, slices=6, size=64)
    decoded = decode_series(phantom.dicom_files(), spec(Handling.REFUSE), DecodeLimits())
    theirs, drawn = loaded(volume_nifti(decoded)), loaded(phantom.nifti())
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), np.asarray(drawn.dataobj))
    np.testing.assert_allclose(theirs.affine, drawn.affine, atol=1e-3)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "SRP", "AIL"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_mask_of_a_nifti_volume_lies_on_the_grid_of_the_file_itself(codes: str, zipped: bool) -> None:
    """Whoever multiplies the two arrays must not multiply a mirror image."""
    data = hounsfield((4, 5, 6))
    content = nifti(data, affine(codes), zipped=zipped)
    study = decode_nifti(content, spec(), LIMITS)
    scan = nibabel.Nifti1Image.from_bytes(gzip.decompress(content) if zipped else content)
    marked = (study.pixels > 0).astype(np.uint8)
    mask = loaded(file_mask(marked, study))
    np.testing.assert_array_equal(np.asarray(mask.dataobj), data > 0)
    np.testing.assert_array_equal(mask.affine, scan.affine)


def test_a_mask_of_a_resheared_nifti_volume_lies_on_the_grid_of_the_decoded_volume() -> None:
    sheared = affine("LPS", (1.0, 1.0, 5.0)) @ np.array([[1, 0, 0, 0], [0, 1, 2, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    study = decode_nifti(nifti(hounsfield((4, 5, 6)), sheared), spec(Handling.CORRECT), LIMITS)
    mask = loaded(file_mask(np.ones(study.pixels.shape, np.uint8), study))
    assert study.description.geometry is not None
    np.testing.assert_allclose(mask.affine, ras_affine(study.description.geometry), atol=1e-4)
