"""The real CT series: geometry and pixels as SimpleITK and pydicom see them, or as computed by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK

from radserve_contract.pipelines.abdominal_trauma import SPEC as ABDOMINAL_TRAUMA
from radserve_contract.pipelines.covid_lung import SPEC as COVID_LUNG
from radserve_contract.pipelines.head_ct import SPEC as HEAD_CT
from radserve_contract.pipelines.hemorrhage import SPEC as HEMORRHAGE
from radserve_contract.volumes import Handling
from radserve_preproc.errors import Unfit, UnfitVolume
from tests.preproc_service.volume.series_files import ANY_PART, codes, decoded, geometry, refused, rules

# Untilted and evenly spaced, in sound files with one kind of slices.
PLAIN = (
    "ct-head-philips-axial",
    "ct-upper-abdomen-blank-uids",
    "ct-chest-covid",
    "ct-chest-minimal-header",
    "ct-duplicate-instance-numbers",
    "ct-oblique-orientation",
)


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def contents(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in files_of(folder)]


def along_normal(path: Path) -> float:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    cosines = np.array(ds.ImageOrientationPatient, float)
    return float(np.cross(cosines[:3], cosines[3:]) @ np.array(ds.ImagePositionPatient, float))


@pytest.fixture(scope="module", autouse=True)
def quiet_simpleitk():
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)


@pytest.mark.parametrize("name", PLAIN)
def test_geometry_and_pixels_equal_simpleitk(sample_data, name):
    paths = sorted(files_of(sample_data / name), key=along_normal)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in paths])
    theirs = reader.Execute()
    ours = decoded(contents(sample_data / name), rules(Handling.ACCEPT))
    assert geometry(ours).origin_mm == pytest.approx(theirs.GetOrigin(), abs=1e-3)
    assert geometry(ours).spacing_mm == pytest.approx(theirs.GetSpacing(), abs=1e-3)
    assert geometry(ours).direction == pytest.approx(theirs.GetDirection(), abs=1e-5)
    pixels = SimpleITK.GetArrayFromImage(theirs)
    assert geometry(ours).shape == pixels.shape
    assert np.array_equal(ours.pixels, pixels.astype(ours.pixels.dtype))


@pytest.mark.parametrize("name", PLAIN)
def test_stored_values_equal_pydicom(sample_data, name):
    paths = sorted(files_of(sample_data / name), key=along_normal)
    ours = decoded(contents(sample_data / name), replace(HEMORRHAGE, gate=ANY_PART))
    for k, path in enumerate(paths):
        assert np.array_equal(ours.pixels[k], pydicom.dcmread(path).pixel_array)


def test_the_tilted_head_is_where_its_middle_is(sample_data):
    """28 slices at 18.5 degrees: 14 of them 4.22 mm of table apart, then 13 steps of 7.38, one of 1.14 between."""
    ours = decoded(contents(sample_data / "ct-head-ge-tilt-variable"), replace(HEAD_CT, gate=ANY_PART))
    assert codes(ours) == ["GANTRY_TILT", "UNEVEN_SPACING", "PADDING_VALUES"]
    cos, sin = 0.9483237, 0.3173047
    found = geometry(ours)
    # the last slice lies 48.2 mm aside of the first one's normal, along the columns; half of that is the middle's
    assert found.origin_mm == pytest.approx((-125.0, -123.5404569 - 24.11 * cos, 5.8360586 + 24.11 * sin), abs=0.02)
    assert np.array(found.direction).reshape(3, 3) == pytest.approx(
        np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]]), abs=1e-6
    )
    first, last = ours.positions_mm[[0, -1]]
    assert first == 0
    # the last slice's table position, seen along the normal
    positions = [along_normal(path) for path in files_of(sample_data / "ct-head-ge-tilt-variable")]
    assert last == pytest.approx(max(positions) - min(positions), abs=1e-4)
    assert len(ours.pixels) == 37
    assert found.spacing_mm == pytest.approx((0.4882812, 0.4882812, last / 36), abs=1e-6)
    assert ours.pixels.min() == -1024


def test_the_tilted_head_as_accepted_has_every_slice_at_its_own_place(sample_data):
    paths = sorted(files_of(sample_data / "ct-head-ge-tilt-variable"), key=along_normal)
    ours = decoded([path.read_bytes() for path in paths], replace(HEMORRHAGE, gate=ANY_PART))
    start = along_normal(paths[0])
    assert ours.positions_mm == pytest.approx([along_normal(path) - start for path in paths], abs=1e-4)
    steps = np.diff(ours.positions_mm)
    assert steps[:13] == pytest.approx(4.002, abs=2e-3)
    assert steps[13] == pytest.approx(1.081, abs=2e-3)
    assert steps[14:] == pytest.approx(6.999, abs=2e-3)
    # the third direction is the table's: straight along z
    assert np.array(geometry(ours).direction).reshape(3, 3)[:, 2] == pytest.approx([0, 0, 1], abs=1e-6)


def test_the_missing_slice_is_found(sample_data):
    files = contents(sample_data / "ct-missing-slice")
    accepted = decoded(files, replace(COVID_LUNG, gate=ANY_PART))
    assert codes(accepted) == ["MISSING_SLICES"]
    assert accepted.positions_mm == pytest.approx([0, 5, 10, 20], abs=1e-3)
    corrected = decoded(files)
    assert corrected.positions_mm == pytest.approx([0, 5, 10, 15, 20], abs=1e-3)
    assert geometry(corrected).spacing_mm == pytest.approx((0.429688, 0.429688, 5), abs=1e-3)
    assert geometry(corrected).origin_mm == pytest.approx((-123.5, -115.199997, 18.1075))
    between = (corrected.pixels[2].astype(float) + corrected.pixels[4]) / 2
    assert np.abs(corrected.pixels[3] - between).max() <= 0.5


def test_a_perfusion_study_of_one_uid_is_several_volumes(sample_data):
    """Each of the 19 time points has a UID of its own; without them they are volumes at one place."""
    files = contents(sample_data / "ct-4d-perfusion-tiny")
    several = decoded(files, replace(HEMORRHAGE, gate=ANY_PART))
    assert codes(several) == ["SEVERAL_SERIES"]
    assert several.pixels.shape == (4, 2, 3)
    blank = [_without_series(content) for content in files]
    one = decoded(blank)
    assert codes(one) == ["SEVERAL_VOLUMES"]
    assert one.pixels.shape == (4, 2, 3)
    assert one.positions_mm == pytest.approx([0, 0.5, 1, 1.5])


def _without_series(content: bytes) -> bytes:
    uid = b"1.1.1.1.1.1.11111.1.1.1.1111.1111.9000000000000000000000000000"
    places = [place for place in range(len(content)) if content.startswith(b"\x20\x00\x0e\x00UI", place)]
    start = places[0] + 8
    assert content[start:].startswith(uid)
    return content[: start + len(uid)] + b"\0\0" + content[start + len(uid) + 2 :]


def test_one_slice_in_many_syntaxes_is_a_duplicate_and_a_lossless_one_is_kept(sample_data):
    ours = decoded(contents(sample_data / "ct-one-slice-many-syntaxes"), replace(HEMORRHAGE, gate=ANY_PART))
    assert "DUPLICATE_POSITIONS" in codes(ours)
    assert "LOSSY_COMPRESSION" not in codes(ours)
    assert (ours.pixels.min(), ours.pixels.max()) == (-2000, 2402)


def test_every_lossless_syntax_decodes_alike(sample_data):
    volumes = []
    for path in files_of(sample_data / "ct-one-slice-many-syntaxes"):
        try:
            ours = decoded([path.read_bytes()], rules(Handling.ACCEPT))
        except Unfit:
            continue
        if "LOSSY_COMPRESSION" not in codes(ours) and ours.pixels.min() == -3024:
            volumes.append(ours.pixels)
    assert len(volumes) >= 9
    assert all(np.array_equal(volume, volumes[0]) for volume in volumes)


def test_the_jpeg_2000_with_another_sign_is_not_off_by_a_power_of_two(sample_data):
    content = (sample_data / "ct-single" / "head_tilt_j2k_sign_mismatch.dcm").read_bytes()
    ours = decoded([content], HEMORRHAGE)
    assert (ours.pixels.min(), ours.pixels.max()) == (-2000, 1896)
    assert codes(ours) == ["SIGN_MISMATCH", "PADDING_VALUES"]
    assert refused([content], UnfitVolume, rules(SIGN_MISMATCH=Handling.REFUSE)).code == "SIGN_MISMATCH"


def test_the_enhanced_ct_has_its_frames_at_their_places(sample_data):
    content = (sample_data / "nasty" / "multiframe_enhanced_ct_jpeg12.dcm").read_bytes()
    ours = decoded([content], replace(COVID_LUNG, gate=ANY_PART))
    assert ours.description.kind == "Enhanced CT"
    ds = pydicom.dcmread(sample_data / "nasty" / "multiframe_enhanced_ct_jpeg12.dcm", stop_before_pixels=True)
    frames = ds.PerFrameFunctionalGroupsSequence
    heights = [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames]
    assert ours.positions_mm == pytest.approx([0, abs(heights[1] - heights[0])])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ct_missing_position.dcm", "MISSING_POSITION"),
        ("ct_missing_rescale.dcm", "MISSING_RESCALE"),
    ],
)
def test_what_is_missing_is_corrected_or_refused_with_its_code(sample_data, name, code):
    content = (sample_data / "nasty" / name).read_bytes()
    assert code in codes(decoded([content], replace(COVID_LUNG, gate=ANY_PART)))
    spec = replace(ABDOMINAL_TRAUMA, gate=ANY_PART)
    assert refused([content], UnfitVolume, replace(spec, volumes=replace(spec.volumes, min_slices=1))).code == code


def test_slices_with_their_own_intercepts_are_rescaled_each_by_its_own(sample_data):
    paths = [sample_data / "nasty" / f"rescale_differs_between_slices_{number}.dcm" for number in (1, 2)]
    ours = decoded([path.read_bytes() for path in paths])
    assert ours.pixels.dtype == np.float32
    assert ours.pixels[0].max() == 0
    assert ours.pixels[1].max() == pytest.approx(0.01)
