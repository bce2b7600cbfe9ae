"""NIfTI volumes: every axis order becomes axial slices that lie where nibabel and SimpleITK say; faults have codes."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK

from radserve_contract.pipelines import abdominal_trauma, covid_lung, head_ct
from radserve_contract.volumes import Handling, Values, VolumeFault
from radserve_preproc.errors import (
    ConstantImage,
    CorruptNifti,
    ImageTooLarge,
    TooLarge,
    UnfitVolume,
)
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import DecodedImage
from radserve_preproc.volume.nifti import decode_nifti
from tests.preproc_service.volume.nifti_files import LIMITS, LPS, affine, hounsfield, nifti, spec, turned

CODES = ["".join(axes) for order in itertools.permutations(("LR", "PA", "SI")) for axes in itertools.product(*order)]
TOLERANCE_MM = 1e-3


def some_voxels(image: DecodedImage) -> npt.NDArray[np.intp]:
    """``(3, n)``: k, j and i of every voxel; of a large volume 20 000 of them, first and last included."""
    size = image.pixels.size
    chosen = np.arange(size) if size < 20_000 else np.random.default_rng(5).integers(0, size, 20_000)
    chosen[[0, -1]] = 0, size - 1
    return np.stack(np.unravel_index(chosen, image.pixels.shape))


def lps_points(image: DecodedImage, voxels: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Where ``voxels`` are: ``(n, 3)`` in mm, from the geometry alone."""
    geometry = image.description.geometry
    assert geometry is not None
    assert geometry.shape == image.pixels.shape
    steps = np.reshape(geometry.direction, (3, 3)) * geometry.spacing_mm
    return np.asarray(geometry.origin_mm + voxels[::-1].T @ steps.T)


def nearest_voxels(
    points: npt.NDArray[np.float64], origin: npt.NDArray[np.float64], steps: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """``(3, n)``: i, j and k of another grid that lie at ``points``, within the tolerance."""
    indices = (points - origin) @ np.linalg.inv(steps).T
    nearest = np.rint(indices).astype(np.intp)
    assert np.linalg.norm((indices - nearest) @ steps.T, axis=1).max() < TOLERANCE_MM
    return nearest.T


def assert_lies_as_in_nibabel(image: DecodedImage, content: bytes) -> None:
    """Each voxel has the value that nibabel has at its place."""
    raw = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    kind = nibabel.Nifti1Image if raw[344:347] == b"n+1" else nibabel.Nifti2Image
    theirs: Any = kind.from_bytes(raw)
    data = np.asarray(theirs.dataobj, np.float64).reshape(*theirs.shape[:3], -1)[..., 0]
    voxels = some_voxels(image)
    points = lps_points(image, voxels) * [-1.0, -1.0, 1.0]
    i, j, k = nearest_voxels(points, theirs.affine[:3, 3], theirs.affine[:3, :3])
    np.testing.assert_allclose(image.pixels[tuple(voxels)], data[i, j, k], rtol=1e-6)


def assert_lies_as_in_simpleitk(image: DecodedImage, path: Path) -> None:
    """The same with SimpleITK, which has its own reader and works in LPS."""
    theirs = SimpleITK.ReadImage(str(path))
    if theirs.GetDimension() == 4:
        theirs = theirs[..., 0]
    voxels = some_voxels(image)
    steps = np.reshape(theirs.GetDirection(), (3, 3)) * theirs.GetSpacing()
    i, j, k = nearest_voxels(lps_points(image, voxels), np.array(theirs.GetOrigin()), steps)
    values = SimpleITK.GetArrayFromImage(theirs)[k, j, i]
    np.testing.assert_allclose(image.pixels[tuple(voxels)], values, rtol=1e-5, atol=1e-3)


def assert_runs_to_lps(image: DecodedImage) -> None:
    geometry = image.description.geometry
    assert geometry is not None
    direction = np.reshape(geometry.direction, (3, 3))
    assert np.argmax(np.abs(direction), axis=0).tolist() == [0, 1, 2]
    assert (np.diag(direction) > 0).all()


@pytest.mark.parametrize("codes", CODES)
def test_every_axis_order_becomes_axial_slices_at_their_place(codes: str, tmp_path: Path) -> None:
    content = nifti(hounsfield((5, 4, 3)), affine(codes, (1.0, 1.25, 1.5)))
    path = tmp_path / "volume.nii"
    path.write_bytes(content)
    image = decode_nifti(content, spec(), LIMITS)
    assert image.pixels.dtype == np.int16
    assert_runs_to_lps(image)
    assert_lies_as_in_nibabel(image, content)
    assert_lies_as_in_simpleitk(image, path)
    said = () if codes == "LPS" else (f"axes reordered from {codes} to LPS, without interpolation",)
    assert image.changes == said


def test_a_dicom_like_file_is_left_as_it_lies_and_a_usual_one_is_mirrored_twice() -> None:
    data = hounsfield((5, 4, 3))
    as_dicom = decode_nifti(nifti(data, affine("LPS")), spec(), LIMITS)
    np.testing.assert_array_equal(as_dicom.pixels, data.transpose(2, 1, 0))
    usual = decode_nifti(nifti(data, affine("RAS")), spec(), LIMITS)
    np.testing.assert_array_equal(usual.pixels, data.transpose(2, 1, 0)[:, ::-1, ::-1])
    # by hand: the first voxel of the mirrored volume is the file's (4, 3, 0), at RAS (14, -17, 30)
    assert usual.description.geometry is not None
    assert usual.description.geometry.origin_mm == (-14.0, 17.0, 30.0)
    assert usual.description.geometry.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("degrees", [-29.0, 3.0, 17.0, 29.0])
@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR"])
def test_oblique_volumes_keep_their_true_place(codes: str, degrees: float, axis: int, tmp_path: Path) -> None:
    matrix = turned(degrees, axis) @ affine(codes, (0.8, 0.8, 1.5))
    content = nifti(hounsfield((6, 5, 4)), matrix, zipped=True, qform=matrix)
    path = tmp_path / "volume.nii.gz"
    path.write_bytes(content)
    image = decode_nifti(content, spec(), LIMITS)
    assert_runs_to_lps(image)
    assert_lies_as_in_nibabel(image, content)
    assert_lies_as_in_simpleitk(image, path)


@pytest.mark.parametrize(
    ("sform", "qform", "used"),
    [("LPS", "RAS", "LPS"), (None, "RAI", "RAI"), ("ARS", None, "ARS")],
    ids=["both", "qform", "sform"],
)
def test_the_form_is_chosen_as_nibabel_does(sform: str | None, qform: str | None, used: str) -> None:
    content = nifti(
        hounsfield((4, 4, 4)),
        None if sform is None else affine(sform),
        qform=None if qform is None else affine(qform),
    )
    image = decode_nifti(content, spec(), LIMITS)
    assert_lies_as_in_nibabel(image, content)
    assert image.changes == (() if used == "LPS" else (f"axes reordered from {used} to LPS, without interpolation",))


@pytest.mark.parametrize(("unit", "factor"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_lengths_are_in_mm_whatever_the_unit(unit: int, factor: float, tmp_path: Path) -> None:
    content = nifti(hounsfield((4, 4, 4)), affine("LPS"), xyzt_units=unit)
    image = decode_nifti(content, spec(), LIMITS)
    assert image.description.geometry is not None
    assert image.description.geometry.spacing_mm == pytest.approx((factor,) * 3)
    assert image.description.geometry.origin_mm == pytest.approx((-10 * factor, 20 * factor, 30 * factor))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_every_version_byte_order_and_number(version: int, big_endian: bool, zipped: bool, dtype: str) -> None:
    data = np.arange(60).reshape(5, 4, 3).astype(dtype)
    content = nifti(data, affine("RAS"), version=version, big_endian=big_endian, zipped=zipped)
    image = decode_nifti(content, spec(), LIMITS)
    assert image.pixels.dtype == np.int16
    assert image.description.kind == f"NIfTI-{version}"
    assert_lies_as_in_nibabel(image, content)


@pytest.mark.parametrize(
    ("stored", "slope", "inter", "dtype"),
    [
        ("u2", 1.0, -1024.0, np.int16),
        ("u1", 10.0, -1000.0, np.int16),
        ("i2", 2.0, 0.0, np.int16),
        ("i2", 0.5, 0.0, np.float32),
        ("i2", 1.0, 0.25, np.float32),
        ("u2", 0.5, -20000.0, np.float32),
        ("u2", 1.0, 1000.0, np.float32),  # beyond 16 bits
        ("f4", 1.0, -1024.0, np.int16),
        ("i2", 0.0, 0.0, np.int16),  # slope 0: not scaled
    ],
)
def test_slope_and_intercept_are_applied_in_int16_where_exact(
    stored: str, slope: float, inter: float, dtype: Any
) -> None:
    data = np.arange(60).reshape(5, 4, 3).astype(stored)
    if stored == "u2":
        data[0, 0, 0] = 65535 if inter == 1000.0 else 3001
    content = nifti(data, affine("LPS"), slope=slope, inter=inter)
    image = decode_nifti(content, spec(), LIMITS)
    assert image.pixels.dtype == dtype
    assert_lies_as_in_nibabel(image, content)


def test_stored_values_are_left_unscaled_for_a_pipeline_that_wants_them() -> None:
    data = hounsfield((5, 4, 3))
    content = nifti(data, affine("LPS"), slope=2.0, inter=7.0)
    image = decode_nifti(content, spec(values=Values.STORED), LIMITS)
    np.testing.assert_array_equal(image.pixels, data.transpose(2, 1, 0))
    assert image.rescale == (2.0, 7.0)
    assert decode_nifti(content, spec(), LIMITS).rescale is None


def test_positions_and_description() -> None:
    image = decode_nifti(nifti(hounsfield((5, 4, 3)), affine("LPS", (0.7, 0.8, 2.5))), spec(), LIMITS)
    np.testing.assert_allclose(image.positions_mm, [0, 2.5, 5])  # type: ignore[arg-type]
    description = image.description
    assert (description.slices, description.rows, description.columns) == (3, 4, 5)
    assert description.pixel_spacing_mm == pytest.approx((0.8, 0.7))
    assert description.bits_stored == 16
    assert [notice.code for notice in image.warnings] == ["MODALITY_MISSING", "BODY_PART_UNKNOWN"]


# --- faults -----------------------------------------------------------------------------------------------------------

SHEARED = affine("LPS", (1.0, 1.0, 2.0)) @ np.array([[1, 0, 0.5, 0], [0, 1, 0.25, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])


def with_values(*values: float, dtype: Any = np.float32) -> npt.NDArray[Any]:
    data = hounsfield((6, 5, 4), dtype)
    data[0, 0, : len(values)] = values
    return data


FAULTY: dict[VolumeFault, Callable[[], bytes]] = {
    VolumeFault.SEVERAL_VOLUMES: lambda: nifti(hounsfield((5, 4, 3, 2)), affine("LPS")),
    VolumeFault.NO_AFFINE: lambda: nifti(hounsfield((5, 4, 3)), None),
    VolumeFault.NOT_AXIAL: lambda: nifti(hounsfield((5, 4, 3)), turned(40, 0) @ affine("LPS")),
    VolumeFault.NOT_HOUNSFIELD: lambda: nifti(hounsfield((5, 4, 3)) + 801, affine("LPS")),
    VolumeFault.PADDING_VALUES: lambda: nifti(with_values(-3024), affine("LPS")),
    VolumeFault.GANTRY_TILT: lambda: nifti(hounsfield((6, 5, 4)), SHEARED),
    VolumeFault.FEW_SLICES: lambda: nifti(hounsfield((5, 4, 3)), affine("LPS")),
}


def codes(image: DecodedImage) -> set[str]:
    return {notice.code for notice in image.warnings} - {"MODALITY_MISSING", "BODY_PART_UNKNOWN"}


@pytest.mark.parametrize("fault", FAULTY)
def test_each_fault_is_refused_with_its_code(fault: VolumeFault) -> None:
    with pytest.raises(UnfitVolume) as caught:
        decode_nifti(
            FAULTY[fault](), spec(Handling.REFUSE, min_slices=4 if fault is VolumeFault.FEW_SLICES else 1), LIMITS
        )
    assert (caught.value.code, caught.value.http_status) == (fault.value, 422)


@pytest.mark.parametrize("fault", FAULTY)
def test_each_fault_is_said_where_it_is_accepted(fault: VolumeFault) -> None:
    image = decode_nifti(FAULTY[fault](), spec(min_slices=4 if fault is VolumeFault.FEW_SLICES else 1), LIMITS)
    assert codes(image) == {fault.value}
    assert len(image.changes) == (fault is VolumeFault.SEVERAL_VOLUMES)  # there is no volume without choosing one


@pytest.mark.parametrize(
    "fault", set(FAULTY) - {VolumeFault.NOT_AXIAL, VolumeFault.NOT_HOUNSFIELD, VolumeFault.FEW_SLICES}
)
def test_each_correction_is_said_twice(fault: VolumeFault) -> None:
    image = decode_nifti(FAULTY[fault](), spec(Handling.CORRECT), LIMITS)
    assert codes(image) == {fault.value}
    assert len(image.changes) == 1
    assert image.changes[0] in image.warnings[-1].message


def test_of_several_volumes_the_first_is_taken_and_no_more_inflated() -> None:
    data = hounsfield((50, 40, 30, 40), np.float32)
    content = nifti(data, affine("LPS"), zipped=True)
    tracemalloc.start()
    image = decode_nifti(content, spec(Handling.CORRECT), LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(image.pixels, data[..., 0].transpose(2, 1, 0))
    assert image.changes == ("the first of 40 volumes was taken",)
    assert peak < data.nbytes / 6


def test_what_comes_after_the_first_volume_is_not_looked_at() -> None:
    data = np.random.default_rng(2).integers(-1000, 1000, (20, 20, 20, 20), np.int16)
    content = nifti(data, affine("LPS"), zipped=True)
    image = decode_nifti(content[: len(content) // 2], spec(Handling.CORRECT), LIMITS)
    np.testing.assert_array_equal(image.pixels, data[..., 0].transpose(2, 1, 0))


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 1, 1), (5, 4, 3, 1, 1)])
def test_empty_further_dimensions_are_no_further_volumes(shape: tuple[int, ...]) -> None:
    image = decode_nifti(nifti(hounsfield(shape), affine("LPS")), spec(Handling.REFUSE), LIMITS)
    assert image.pixels.shape == (*reversed((*shape, 1)[:3]),)


@pytest.mark.parametrize("handling", [Handling.ACCEPT, Handling.CORRECT])
def test_without_an_affine_axes_are_taken_as_they_lie(handling: Handling) -> None:
    data = hounsfield((5, 4, 3))
    image = decode_nifti(nifti(data, None, pixdim=[1, 0.5, 0.6, 0.7, 1, 1, 1, 1]), spec(handling), LIMITS)
    np.testing.assert_array_equal(image.pixels, data.transpose(2, 1, 0))
    assert image.description.geometry is not None
    assert image.description.geometry.spacing_mm == pytest.approx((0.5, 0.6, 0.7))
    assert image.description.geometry.direction == (1, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("broken", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.ones((4, 4))])
def test_an_affine_that_is_no_grid_is_none(broken: npt.NDArray[np.float64]) -> None:
    rows = dict(zip(("srow_x", "srow_y", "srow_z"), broken, strict=False))
    content = nifti(hounsfield((5, 4, 3)), affine("LPS"), **rows)
    with pytest.raises(UnfitVolume) as caught:
        decode_nifti(content, spec(Handling.REFUSE), LIMITS)
    assert caught.value.code == "NO_AFFINE"


def test_without_any_spacing_there_is_no_geometry_unless_one_may_be_assumed() -> None:
    content = nifti(hounsfield((5, 4, 3)), None, pixdim=[1, 0, 0, 0, 1, 1, 1, 1])
    accepted, corrected = (decode_nifti(content, spec(how), LIMITS) for how in (Handling.ACCEPT, Handling.CORRECT))
    assert codes(accepted) == codes(corrected) == {"NO_AFFINE", "MISSING_SPACING"}
    assert accepted.description.geometry is None
    assert accepted.description.pixel_spacing_mm is None
    assert corrected.description.geometry is not None
    assert corrected.description.geometry.spacing_mm == (1, 1, 1)


def test_thick_sagittal_slices_are_not_axial_and_left_as_they_lie() -> None:
    data = hounsfield((6, 5, 4))
    content = nifti(data, affine("PSR", (1.0, 1.0, 5.0)))
    with pytest.raises(UnfitVolume) as caught:
        decode_nifti(content, spec(Handling.CORRECT), LIMITS)
    assert caught.value.code == "NOT_AXIAL"
    image = decode_nifti(content, spec(Handling.ACCEPT), LIMITS)
    np.testing.assert_array_equal(image.pixels, data.transpose(2, 1, 0))
    assert_lies_as_in_nibabel(image, content)


@pytest.mark.parametrize(("degrees", "is_axial"), [(29.9, True), (30.1, False)])
def test_axial_ends_at_30_degrees(degrees: float, is_axial: bool) -> None:
    image = decode_nifti(nifti(hounsfield((5, 4, 3)), turned(degrees, 0) @ affine("LPS")), spec(), LIMITS)
    assert codes(image) == (set() if is_axial else {"NOT_AXIAL"})


def test_an_accepted_tilt_keeps_a_true_sheared_affine() -> None:
    content = nifti(hounsfield((6, 5, 4)), SHEARED)
    image = decode_nifti(content, spec(Handling.ACCEPT), LIMITS)
    assert_lies_as_in_nibabel(image, content)
    np.testing.assert_allclose(image.positions_mm, [0, 2, 4, 6])  # type: ignore[arg-type]


def test_a_corrected_tilt_shifts_slices_onto_their_normal() -> None:
    """A ridge along z that a sheared file shows slanted is upright afterwards, at its true place."""
    matrix = affine("LPS") @ np.array([[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    data = np.full((9, 20, 5), -1000, np.int16)
    for k in range(5):
        data[4, 10 - k, k] = 500
    image = decode_nifti(nifti(data, matrix), spec(Handling.CORRECT), LIMITS)
    assert image.pixels.dtype == np.int16
    found = np.argwhere(image.pixels == 500)
    assert found.tolist() == [[k, 8, 4] for k in range(5)]
    ridge = lps_points(image, found.T)
    sheared = LPS @ matrix @ np.array([4, 10, 0, 1])
    np.testing.assert_allclose(ridge, sheared[:3] + np.outer(np.arange(5), [0, 0, 1]), atol=1e-6)
    assert image.pixels[0, 0, 0] == -1000
    assert image.pixels[4, 0, 0] == -1024  # nothing was there


def test_rows_and_columns_at_an_angle_are_refused() -> None:
    skewed = affine("LPS") @ np.array([[1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    with pytest.raises(CorruptNifti, match="no right one"):
        decode_nifti(nifti(hounsfield((5, 4, 3)), skewed), spec(), LIMITS)


@pytest.mark.parametrize("padding", [-1201.0, -2000.0, -3024.0, np.nan, np.inf, -np.inf])
def test_padding_becomes_air_where_it_is_corrected(padding: float) -> None:
    data = with_values(padding, padding)
    image = decode_nifti(nifti(data, affine("LPS")), spec(Handling.CORRECT), LIMITS)
    assert image.pixels.dtype == np.int16
    assert image.pixels[:2, 0, 0].tolist() == [-1024, -1024]
    np.testing.assert_array_equal(image.pixels[:, 1:], data.transpose(2, 1, 0)[:, 1:])
    assert image.changes == ("2 voxels set to -1024",)


def test_accepted_padding_is_left_but_no_network_is_given_what_is_no_number() -> None:
    image = decode_nifti(nifti(with_values(-3024, np.nan), affine("LPS")), spec(Handling.ACCEPT), LIMITS)
    assert image.pixels[:2, 0, 0].tolist() == [-3024, -1024]
    assert image.changes == ("1 voxels that are no numbers set to -1024",)


def test_noise_around_air_is_no_padding() -> None:
    assert codes(decode_nifti(nifti(with_values(-1100, -1200), affine("LPS")), spec(), LIMITS)) == set()


@pytest.mark.parametrize(
    ("data", "scale", "is_hounsfield"),
    [
        (hounsfield((5, 4, 3)) + 800, (None, None), True),  # lowest -200
        (hounsfield((5, 4, 3)) + 801, (None, None), False),
        (with_values(np.nan) + 801, (None, None), False),  # padding is no air
        (np.arange(60, dtype=np.uint8).reshape(5, 4, 3), (30.0, -1000.0), False),
        (np.arange(60, dtype=np.uint16).reshape(5, 4, 3), (30.0, -1000.0), True),
    ],
)
def test_what_can_be_hounsfield_units(data: npt.NDArray[Any], scale: Any, is_hounsfield: bool) -> None:
    image = decode_nifti(nifti(data, affine("LPS"), slope=scale[0], inter=scale[1]), spec(), LIMITS)
    assert (VolumeFault.NOT_HOUNSFIELD.value not in codes(image)) is is_hounsfield


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["c8", "c16", [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_values_that_are_no_plain_numbers_are_refused(dtype: Any) -> None:
    data = np.zeros((5, 4, 3), np.dtype(dtype))
    with pytest.raises(CorruptNifti, match="one plain number per voxel"):
        decode_nifti(nifti(data, affine("LPS")), spec(), LIMITS)


@pytest.mark.parametrize(("datatype", "bitpix"), [(1536, 128), (1, 1), (0, 16), (999, 16)])
def test_other_types_are_refused(datatype: int, bitpix: int) -> None:
    """Long doubles, single bits, no type, and a code that nobody has given a meaning."""
    content = nifti(hounsfield((5, 4, 3)), affine("LPS"), datatype=datatype, bitpix=bitpix)
    with pytest.raises(CorruptNifti):
        decode_nifti(content, spec(), LIMITS)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_cut_off_anywhere_is_refused(zipped: bool, version: int) -> None:
    content = nifti(hounsfield((4, 3, 2)), affine("LPS"), version=version, zipped=zipped)
    for length in range(len(content)):
        with pytest.raises(CorruptNifti):
            decode_nifti(content[:length], spec(), LIMITS)


def test_a_damaged_gzip_file_is_refused() -> None:
    content = bytearray(nifti(hounsfield((9, 9, 9)), affine("LPS"), zipped=True))
    for at in (len(content) // 2, len(content) - 6):  # the data; the checksum
        damaged = bytearray(content)
        damaged[at] ^= 0xFF
        with pytest.raises(CorruptNifti):
            decode_nifti(bytes(damaged), spec(), LIMITS)


def test_a_changed_header_byte_is_no_crash() -> None:
    content = nifti(hounsfield((6, 5, 4)), affine("RAS"))
    for at, value in itertools.product(range(348), (0x00, 0x7F, 0xFF)):
        changed = bytearray(content)
        changed[at] = value
        try:
            image = decode_nifti(bytes(changed), spec(), LIMITS)
        except (CorruptNifti, UnfitVolume, TooLarge, ImageTooLarge, ConstantImage):
            continue
        assert np.isfinite(image.pixels).all()


@pytest.mark.parametrize("content", [b"", bytes(400), gzip.compress(b"text"), gzip.compress(bytes(400)), b"\x1f\x8b"])
def test_what_is_no_nifti_is_refused(content: bytes) -> None:
    with pytest.raises(CorruptNifti):
        decode_nifti(content, spec(), LIMITS)


def test_a_volume_in_several_gzip_members_is_read() -> None:
    raw = nifti(hounsfield((5, 4, 3)), affine("LPS"))
    members = b"".join(gzip.compress(raw[start : start + 100]) for start in range(0, len(raw), 100))
    image = decode_nifti(members, spec(), LIMITS)
    np.testing.assert_array_equal(image.pixels, hounsfield((5, 4, 3)).transpose(2, 1, 0))


def test_a_file_of_countless_gzip_members_is_refused_soon() -> None:
    with pytest.raises(CorruptNifti, match="more than 50000 members"):
        decode_nifti(gzip.compress(b"") * 60_000, spec(), LIMITS)


def test_a_gzip_bomb_stops() -> None:
    raw = nifti(hounsfield((5, 4, 3)), affine("LPS"))
    bomb = gzip.compress(raw + bytes(100 * 2**20), 9)
    tracemalloc.start()
    with pytest.raises(CorruptNifti, match="goes on"):
        decode_nifti(bomb, spec(), LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_header_that_announces_too_much_is_refused_before_anything_is_inflated() -> None:
    content = nifti(hounsfield((4, 3, 2)), affine("LPS"), dim=[3, 30000, 30000, 10, 1, 1, 1, 1], zipped=True)
    with pytest.raises(TooLarge) as caught:
        decode_nifti(content, spec(), LIMITS)
    assert caught.value.http_status == 413


def test_sizes_outside_the_limits_are_refused() -> None:
    content = nifti(hounsfield((60, 60, 3)), affine("LPS"))
    with pytest.raises(ImageTooLarge):
        decode_nifti(content, spec(), DecodeLimits(max_pixels=3599))
    with pytest.raises(ImageTooLarge):
        decode_nifti(content, spec(), DecodeLimits(max_voxels=10799))
    assert decode_nifti(content, spec(), DecodeLimits(max_voxels=10800)).pixels.shape == (3, 60, 60)
    with pytest.raises(ImageTooLarge):
        decode_nifti(nifti(hounsfield((2, 2, 1001)), affine("LPS")), spec(), LIMITS)


def test_a_volume_of_one_value_is_refused() -> None:
    with pytest.raises(ConstantImage):
        decode_nifti(nifti(np.full((5, 4, 3), -1000, np.int16), affine("LPS")), spec(), LIMITS)


def test_text_of_the_header_reaches_nothing() -> None:
    content = nifti(
        hounsfield((5, 4, 3, 2)), affine("RAS"), descrip=b"DOE^JANE", intent_name=b"DOE^JANE", db_name=b"DOE"
    )
    assert "DOE" not in repr(decode_nifti(content, spec(), LIMITS))


def test_decoding_needs_the_file_and_two_volumes() -> None:
    data = np.random.default_rng(1).integers(-1000, 1000, (256, 256, 64), np.int16)
    content = nifti(data, affine("RAS"), zipped=True)
    tracemalloc.start()
    decode_nifti(content, spec(), LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.3 * data.nbytes


# --- real files -------------------------------------------------------------------------------------------------------

REAL = (
    "ct_body_3mm_int16_30slices.nii.gz",
    "ct_body_3mm_int32.nii.gz",
    "ct_head_uint8_sclslope.nii.gz",
    "epi_oblique17_uint8_slope_inter.nii.gz",
    "fmri_4d_int16_sclslope.nii",
    "mr_4d_int16_oblique.nii.gz",
    "mr_bigendian_int16.nii",
    "single_slice_uint16.nii.gz",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_lie_where_nibabel_and_simpleitk_say(sample_data: Path, name: str) -> None:
    path = sample_data / "nifti" / name
    content = path.read_bytes()
    image = decode_nifti(content, spec(), LIMITS)
    assert_lies_as_in_nibabel(image, content)
    assert_lies_as_in_simpleitk(image, path)


@pytest.mark.parametrize("name", ["truncated.nii.gz", "header_only_pair.hdr"])
def test_real_broken_files_are_refused(sample_data: Path, name: str) -> None:
    with pytest.raises(CorruptNifti):
        decode_nifti((sample_data / "nifti" / name).read_bytes(), spec(), LIMITS)


def test_pipelines_answer_for_real_files_as_their_rules_say(sample_data: Path) -> None:
    def outcome(name: str, pipeline: Any) -> str:
        try:
            decode_nifti((sample_data / "nifti" / name).read_bytes(), pipeline, DecodeLimits())
        except UnfitVolume as error:
            return error.code
        return "decoded"

    body, head = "ct_body_3mm_int32.nii.gz", "ct_head_uint8_sclslope.nii.gz"
    assert [outcome(body, module.SPEC) for module in (abdominal_trauma, covid_lung, head_ct)] == ["decoded"] * 3
    assert outcome(head, head_ct.SPEC) == "NOT_HOUNSFIELD"
    assert outcome(head, covid_lung.SPEC) == "decoded"
    assert outcome("single_slice_uint16.nii.gz", covid_lung.SPEC) == "NOT_AXIAL"


@pytest.mark.parametrize("highest", [2e5, 3e38])
def test_values_far_beyond_the_hounsfield_scale_are_no_hounsfield_units(highest: float) -> None:
    """Added up they are no numbers any more, and the network would answer nonsense."""
    data = hounsfield((5, 4, 3), np.float32)
    data[2, 2, 1] = highest
    with pytest.raises(UnfitVolume, match="over 100000") as caught:
        decode_nifti(nifti(data, affine("LPS")), spec(Handling.REFUSE), LIMITS)
    assert caught.value.code == VolumeFault.NOT_HOUNSFIELD
    data[2, 2, 1] = 65_535
    assert decode_nifti(nifti(data, affine("LPS")), spec(Handling.REFUSE), LIMITS).pixels.max() == 65_535
