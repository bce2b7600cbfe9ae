"""Where the voxels are: hand-computed on made-up series."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_contract.volumes import Handling
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.render_nifti import volume_nifti
from radserve_preproc.volume.nifti import decode_nifti
from tests.preproc_service.volume.series_files import (
    COLUMNS,
    ROWS,
    codes,
    ct_series,
    ct_slice,
    decoded,
    geometry,
    picture,
    refused,
    rules,
    tilted_series,
)

ACCEPTING = rules(Handling.ACCEPT)
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_a_plain_series_has_the_geometry_of_its_header():
    image = decoded(ct_series(range(40, -5, -5)))
    found = geometry(image)
    assert found.origin_mm == (-10.0, -20.0, 0.0)
    assert found.direction == IDENTITY
    assert found.spacing_mm == (3.0, 2.0, 5.0)  # i is along the columns: Pixel Spacing's second number
    assert found.shape == image.pixels.shape == (9, ROWS, COLUMNS)
    assert image.positions_mm.tolist() == list(range(0, 45, 5))
    assert not codes(image)
    assert not image.changes


def test_slices_are_sorted_by_position_whatever_their_numbers_say():
    heights = [15.0, 0.0, 5.0, 10.0]
    image = decoded([ct_slice(z, picture(int(z)), number=99 - index) for index, z in enumerate(heights)])
    for k, z in enumerate(sorted(heights)):
        assert np.array_equal(image.pixels[k], picture(int(z)).astype(int) - 1024)


def test_feet_first_slices_are_sorted_along_their_own_normal():
    """Rows that run to the patient's right and columns to the back: the normal points to the feet."""
    image = decoded(ct_series(range(0, 50, 5), ImageOrientationPatient=[-1, 0, 0, 0, 1, 0]))
    found = geometry(image)
    assert found.origin_mm[2] == 45.0
    assert found.direction == (-1, 0, 0, 0, 1, 0, 0, 0, -1)


def test_a_single_slice_is_as_thick_as_it_says():
    image = decoded([ct_slice(12.0)])
    assert geometry(image).spacing_mm == (3.0, 2.0, 5.0)
    assert image.description.kind == "DICOM slice"
    assert image.description.sop_instance_uid == image.sop_instance_uids[0]


def test_an_accepted_tilt_gives_a_sheared_but_true_affine():
    found = geometry(decoded(tilted_series(20), ACCEPTING))
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    # columns: along a row, along a column, from slice to slice: the table moved along z
    assert np.array(found.direction).reshape(3, 3) == pytest.approx(np.array([[1, 0, 0], [0, cos, 0], [0, -sin, 1]]))
    assert found.spacing_mm == pytest.approx((3, 2, 5))
    assert found.origin_mm == (-10, -20, 0)


def test_a_corrected_tilt_gives_an_orthogonal_affine_and_leaves_the_middle_in_its_place():
    image = decoded(tilted_series(20))
    found = geometry(image)
    cos, sin = np.cos(np.radians(20)), np.sin(np.radians(20))
    direction = np.array(found.direction).reshape(3, 3)
    assert direction == pytest.approx(np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]), abs=1e-6)
    assert found.spacing_mm == pytest.approx((3, 2, 5 * cos))
    # the table moved 45 mm; the last slice lies 45 sin aside of the first one's normal, half of that is the middle's
    assert found.origin_mm == pytest.approx((-10, -20 - 22.5 * sin * cos, 22.5 * sin**2), abs=1e-5)
    assert image.positions_mm == pytest.approx(5 * cos * np.arange(10))


@pytest.mark.parametrize("degrees", [20.0, -12.0])
def test_a_tilted_study_is_the_same_volume_as_dicom_and_as_nifti(degrees):
    """Its NIfTI file as converters write it: the voxels as they are, a sheared affine."""
    files = tilted_series(degrees)
    as_nifti = volume_nifti(decoded(files, ACCEPTING))
    ours, theirs = (
        decoded(files),
        decode_nifti(as_nifti, rules(NOT_HOUNSFIELD=Handling.ACCEPT), DecodeLimits(min_side_px=1)),
    )
    assert geometry(ours).origin_mm == pytest.approx(geometry(theirs).origin_mm, abs=1e-3)
    assert geometry(ours).direction == pytest.approx(geometry(theirs).direction, abs=1e-5)
    assert np.abs(ours.pixels.astype(int) - theirs.pixels).max() <= 1


@pytest.mark.parametrize("degrees", [25.0, -18.5])
def test_reshearing_puts_a_rod_that_lies_along_the_normal_back_upright(degrees):
    """A rod along the slices' normal is at another row in each tilted slice; re-sheared, it stays at one."""
    tilt = np.radians(degrees)
    step, spacing, slices = 4.0, 1.0, 9
    middle = 32.0 if degrees > 0 else 24.0
    files = []
    for k in range(slices):
        # the slice's own first pixel lies this far along its columns of where the normal through the first one meets
        # it; the middle slice stays where it is
        row = middle + np.sin(tilt) * step * k / spacing
        rows = np.clip(1.5 - np.abs(np.arange(64) - row), 0, 1)
        image = np.repeat(np.rint(1000 * rows)[:, None], 8, axis=1).astype(np.uint16)
        orientation = [1, 0, 0, 0, float(np.cos(tilt)), -float(np.sin(tilt))]
        files.append(
            ct_slice(k * step, image, ImageOrientationPatient=orientation, PixelSpacing=[1.0, 1.0], number=k + 1)
        )
    image = decoded(files)
    assert codes(image) == ["GANTRY_TILT"]
    weights = image.pixels.astype(float) + 1024
    centres = (weights * np.arange(64)[None, :, None]).sum(axis=(1, 2)) / weights.sum(axis=(1, 2))
    in_the_middle_slice = middle + np.sin(tilt) * step * (slices - 1) / 2 / spacing
    assert centres == pytest.approx(np.full(slices, in_the_middle_slice), abs=0.02)


def test_reshearing_says_how_much_tissue_leaves_the_image():
    tissue = np.full((ROWS, COLUMNS), 1100, np.uint16)
    files = [
        ct_slice(5.0 * k, tissue, ImageOrientationPatient=[1, 0, 0, 0, 0.9396926, -0.3420201], number=k + 1)
        for k in range(4)
    ]
    image = decoded(files)
    # rows are 2 mm apart: slices move by -1.28, -0.43, 0.43 and 1.28 rows; 2, 1, 1 and 2 of 6 leave, in part at least
    assert image.changes[-1] == "re-shearing moved 25.0 % of the tissue out of the image"
    assert image.pixels[3].min() == -1024


@pytest.mark.parametrize(
    ("heights", "fault"),
    [
        ([0, 5, 10, 15, 40, 45, 50], "MISSING_SLICES"),
        ([0, 5, 10, 15, 315.5, 320.5, 325.5], "UNEVEN_SPACING"),
        ([*range(10), *range(21, 30)], "MISSING_SLICES"),
    ],
)
def test_a_gap_too_wide_to_interpolate_over_is_refused(heights, fault):
    """What would lie in it was never scanned: most of a head, between the slices of two stations."""
    error = refused(ct_series(heights), UnfitVolume, rules())
    assert error.code == fault
    assert "gap" in error.message
    assert len(decoded(ct_series(heights), ACCEPTING).pixels) == len(heights)


@pytest.mark.parametrize("heights", [[0, 5, 10, 30, 35, 40], [*range(10), *range(19, 30)], [0, 10, 20, 60, 70, 80]])
def test_a_gap_of_a_few_slices_is_interpolated_over(heights):
    assert codes(decoded(ct_series(heights))) == ["MISSING_SLICES"]


def test_missing_slices_are_interpolated_between_their_neighbours():
    low, high = picture(1), picture(2)
    files = [ct_slice(0.0), ct_slice(5.0), ct_slice(10.0, low), ct_slice(25.0, high), ct_slice(30.0)]
    image = decoded(files)
    assert image.positions_mm == pytest.approx(5 * np.arange(7))
    assert geometry(image).spacing_mm[2] == pytest.approx(5)
    expected = np.rint(low - 1024.0 + (high.astype(float) - low) / 3)
    assert np.abs(image.pixels[3] - expected).max() <= 1
    assert np.array_equal(image.pixels[5], high.astype(int) - 1024)
    assert image.sop_instance_uids[3:5] == ("", "")
    assert all(image.sop_instance_uids[k] for k in (0, 1, 2, 5, 6))
    assert image.changes == ("2 missing slices interpolated between their neighbours",)


def test_accepted_gaps_leave_the_slices_and_say_where_they_are():
    image = decoded(ct_series([0, 5, 10, 25, 30]), ACCEPTING)
    assert image.positions_mm.tolist() == [0, 5, 10, 25, 30]
    assert geometry(image).spacing_mm[2] == pytest.approx(30 / 4)
    assert not image.changes


def test_uneven_slices_are_resampled_to_the_smallest_regular_spacing():
    """4 mm below, 7 mm above, as head CTs are scanned; one odd step between is no spacing."""
    heights = [0, 4, 8, 12, 16, 17, 24, 31, 38]
    ramp = [ct_slice(z, np.full((ROWS, COLUMNS), 1000 + 10 * z, np.uint16)) for z in heights]
    image = decoded(ramp)
    assert codes(image) == ["UNEVEN_SPACING"]
    assert len(image.pixels) == 11  # 38 mm / 4 mm = 9.5, to the even number
    assert geometry(image).spacing_mm[2] == pytest.approx(3.8)
    # a linear ramp stays one under linear interpolation, whatever the slices it was sampled at
    assert image.pixels[:, 2, 3] == pytest.approx(-24 + 38 * np.arange(11), abs=0.5)


def test_a_few_slices_close_together_do_not_set_the_spacing():
    heights = [*range(0, 50, 5), 46, 47, *range(52, 100, 5)]
    image = decoded(ct_series(heights))
    assert codes(image) == ["UNEVEN_SPACING"]
    assert geometry(image).spacing_mm[2] == pytest.approx(97 / 19)


def test_slices_a_little_uneven_are_even():
    image = decoded(ct_series([0, 5.01, 9.99, 15, 20]))
    assert not codes(image)
    assert geometry(image).spacing_mm[2] == pytest.approx(5)


def test_small_differences_that_add_up_are_uneven():
    """Each distance is within 5 % of 5 mm, and yet the middle slice is 3 mm off."""
    heights = [*np.arange(0, 150, 5.0), *np.arange(150, 306, 5.2)]
    image = decoded(ct_series(heights))
    assert codes(image) == ["UNEVEN_SPACING"]
    assert np.diff(image.positions_mm) == pytest.approx(geometry(image).spacing_mm[2])


def test_cosines_written_with_four_digits_are_made_unit_vectors():
    files = [
        ct_slice(5.0 * k, ImagePositionPatient=[0, 5 * 0.3746 * k, 5 * 0.9272 * k], number=k,
                 ImageOrientationPatient=[1.0, 0.0, 0.0, 0.0, 0.9272, -0.3746])
        for k in range(5)
    ]  # fmt: skip
    found = np.array(geometry(decoded(files)).direction).reshape(3, 3)
    assert found.T @ found == pytest.approx(np.eye(3), abs=1e-12)
