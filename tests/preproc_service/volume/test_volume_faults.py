"""Each fault of a CT study under each handling: corrected, accepted or refused, never in silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit

from radserve_contract.volumes import Handling, VolumeFault
from radserve_preproc.errors import UnfitVolume
from radserve_preproc.volume.faults import ALWAYS_CORRECTED, NO_CORRECTION
from tests.dicom_files import make_object
from tests.preproc_service.volume.series_files import (
    codes,
    ct_series,
    ct_slice,
    decoded,
    picture,
    refused,
    rules,
    tilted_series,
)

SAGITTAL = [0, 1, 0, 0, 0, -1]
TURNED = [0.9, 0.43589, 0, -0.43589, 0.9, 0]
ACROSS_ZERO = np.tile(np.arange(-41, 41, 3), (80, 1))
OBLIQUE = [1, 0, 0, 0, 0.5, -0.8660254]  # 60 degrees off axial


@dataclass(frozen=True)
class Case:
    """``slices``: how many the volume has when corrected, and when accepted."""

    files: Callable[[], list[bytes]]
    corrected: int = 0
    accepted: int = 0


def _report() -> bytes:
    return make_object("1.2.840.10008.5.1.4.1.1.88.33", "SR")


def _two_time_points(**elements) -> list[bytes]:
    return [
        ct_slice(float(z), picture(100 * time + z), number=100 * time + z, AcquisitionNumber=time, **elements)
        for time in (1, 2)
        for z in range(0, 40, 5)
    ]


CASES = {
    VolumeFault.GANTRY_TILT: Case(tilted_series, 10, 10),
    VolumeFault.MISSING_SLICES: Case(lambda: ct_series([0, 5, 10, 20, 25]), 6, 5),
    VolumeFault.UNEVEN_SPACING: Case(lambda: ct_series([0, 5, 10, 12, 17, 22]), 5, 6),
    VolumeFault.DUPLICATE_POSITIONS: Case(lambda: [*ct_series(), ct_slice(5.0, picture(1), number=999)], 10, 10),
    VolumeFault.MIXED_ORIENTATION: Case(
        lambda: [*ct_series(), *ct_series(range(50, 80, 5), ImageOrientationPatient=TURNED)],
        10,
        10,
    ),
    VolumeFault.MIXED_MATRIX: Case(lambda: [*ct_series(), ct_slice(60.0, picture(1, 8, 8))], 10, 10),
    VolumeFault.LOCALIZER: Case(
        lambda: [*ct_series(), ct_slice(7.0, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])], 10, 10
    ),
    VolumeFault.OTHER_OBJECTS: Case(lambda: [*ct_series(), _report(), b"not DICOM at all", b""], 10, 10),
    VolumeFault.SEVERAL_SERIES: Case(lambda: [*ct_series(), *ct_series(range(0, 20, 5), series="other")], 10, 10),
    VolumeFault.SEVERAL_VOLUMES: Case(_two_time_points, 8, 8),
    VolumeFault.NOT_AXIAL: Case(
        lambda: [ct_slice(0.0, ImagePositionPatient=[0, 5 * k * 0.8660254, 5 * k * 0.5], number=k,
                          ImageOrientationPatient=OBLIQUE) for k in range(5)],
        accepted=5,
    ),
    VolumeFault.FEW_SLICES: Case(lambda: ct_series([0, 5]), accepted=2),
    VolumeFault.MISSING_POSITION: Case(lambda: ct_series(ImagePositionPatient=None), 10, 10),
    VolumeFault.MISSING_SPACING: Case(lambda: ct_series(PixelSpacing=None), 10, 10),
    VolumeFault.MISSING_RESCALE: Case(lambda: ct_series(RescaleSlope=None, RescaleIntercept=None), 10, 10),
    VolumeFault.SIGN_MISMATCH: Case(
        lambda: [ct_slice(0.0, ACROSS_ZERO.astype(np.uint16), bits_stored=16, RescaleIntercept=0)],
        1,
        1,
    ),
    VolumeFault.PADDING_VALUES: Case(
        lambda: ct_series(pixels=picture().astype(np.int16) - 3200, bits_stored=16, RescaleIntercept=0), 10, 10
    ),
    VolumeFault.LOSSY_COMPRESSION: Case(lambda: ct_series(LossyImageCompression="01"), accepted=10),
    VolumeFault.NOT_HOUNSFIELD: Case(
        lambda: ct_series(pixels=picture().astype(np.uint8), bits_stored=8, RescaleIntercept=0), accepted=10
    ),
}  # fmt: skip


def _rules(fault: VolumeFault, handling: Handling):
    fewest = {"min_slices": 3} if fault is VolumeFault.FEW_SLICES else {}
    return rules(**{fault.value: handling}, **fewest)


def test_every_fault_of_dicom_studies_has_a_case():
    """NIfTI files alone can lack an affine."""
    assert set(CASES) == set(VolumeFault) - {VolumeFault.NO_AFFINE}


@pytest.mark.parametrize("fault", CASES)
def test_a_refused_fault_is_422_with_its_code(fault):
    error = refused(CASES[fault].files(), UnfitVolume, _rules(fault, Handling.REFUSE))
    assert error.code == fault.value
    assert error.http_status == 422


@pytest.mark.parametrize("fault", CASES)
def test_a_fault_that_the_rules_do_not_name_is_refused(fault):
    spec = _rules(fault, Handling.CORRECT)
    kept = tuple(rule for rule in spec.volumes.handling if rule[0] is not fault)
    fewest = {"min_slices": spec.volumes.min_slices}
    assert refused(CASES[fault].files(), UnfitVolume, rules(handling=kept, **fewest)).code == fault.value


@pytest.mark.parametrize("fault", [fault for fault in CASES if fault not in NO_CORRECTION])
def test_a_corrected_fault_is_a_warning_and_a_change(fault):
    image = decoded(CASES[fault].files(), _rules(fault, Handling.CORRECT))
    assert fault.value in codes(image)
    assert image.changes
    assert len(image.pixels) == CASES[fault].corrected
    assert len(image.positions_mm) == len(image.sop_instance_uids) == len(image.pixels)
    assert image.description.geometry is not None
    assert image.description.slices == len(image.pixels)


@pytest.mark.parametrize("fault", NO_CORRECTION)
def test_a_fault_without_correction_is_refused_where_correction_is_asked_for(fault):
    assert refused(CASES[fault].files(), UnfitVolume, _rules(fault, Handling.CORRECT)).code == fault.value


@pytest.mark.parametrize("fault", CASES)
def test_an_accepted_fault_is_a_warning(fault):
    image = decoded(CASES[fault].files(), _rules(fault, Handling.ACCEPT))
    assert fault.value in codes(image)
    assert len(image.pixels) == CASES[fault].accepted
    # there is no volume of two matrices or two series: what accepting does is said too
    assert bool(image.changes) == (fault in ALWAYS_CORRECTED)


def test_a_lossy_transfer_syntax_is_lossy_whatever_the_header_says():
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.fromarray(picture(0, 64, 64).astype(np.uint8)).save(stream, "JPEG")
    file = ct_slice(
        0.0,
        picture(0, 64, 64).astype(np.uint8),
        bits_stored=8,
        transfer_syntax=JPEGBaseline8Bit,
        encoded=stream.getvalue(),
    )
    assert codes(decoded([file], rules(Handling.ACCEPT))) == ["LOSSY_COMPRESSION"]


def test_accepted_missing_positions_and_spacings_leave_the_geometry_open():
    assert decoded(ct_series(ImagePositionPatient=None), rules(Handling.ACCEPT)).description.geometry is None
    image = decoded(ct_series(PixelSpacing=None), rules(Handling.ACCEPT))
    assert image.description.geometry is None
    assert image.description.pixel_spacing_mm is None
    assert image.positions_mm.tolist() == list(range(0, 50, 5))


@pytest.mark.parametrize(
    "spacing", [[0.0, 1.0], [-1.0, 1.0], ["nan", 1.0], ["inf", "inf"], [1.0], [1.0, 1.0, 1.0], ["x", "y"]]
)
def test_an_unusable_spacing_is_a_missing_one(spacing):
    image = decoded([_with_text(ct_slice(0.0), b"2.0\\3.0 ", "\\".join(map(str, spacing)))])
    assert codes(image) == ["MISSING_SPACING"]
    assert image.description.pixel_spacing_mm == (1.0, 1.0)


@pytest.mark.parametrize(
    "cosines",
    ["1\\0\\0\\1\\0\\0", "0\\0\\0\\0\\0\\0", "2\\0\\0\\0\\2\\0", "1\\0\\0\\0.5\\1\\0", "nan\\0\\0\\0\\1\\0", "1\\0\\0"],
)
def test_cosines_that_are_none_make_a_missing_position(cosines):
    image = decoded([_with_text(ct_slice(0.0), b"1.0\\0.0\\0.0\\0.0\\1.0\\0.0 ", cosines)])
    assert codes(image) == ["MISSING_POSITION"]


def _with_text(content: bytes, text: bytes, other: str) -> bytes:
    """The file with another value in an explicit VR element, which need not be valid."""
    value = other.encode() + b" " * (len(other) % 2)
    start = content.index(text)
    return content[: start - 2] + len(value).to_bytes(2, "little") + value + content[start + len(text) :]


def test_positions_that_are_missing_need_numbers_to_sort_by():
    files = ct_series([0, 5, 10], ImagePositionPatient=None, number=1)
    assert refused(files, UnfitVolume).code == "MISSING_POSITION"


def test_missing_positions_are_sorted_by_number_at_their_distance():
    files = [
        ct_slice(0.0, picture(k), number=k, ImagePositionPatient=None, SpacingBetweenSlices=2.5) for k in (3, 1, 2)
    ]
    image = decoded(files)
    assert image.positions_mm.tolist() == [0, 2.5, 5]
    assert [np.array_equal(image.pixels[k], picture(k + 1).astype(int) - 1024) for k in range(3)] == [True] * 3


def test_sagittal_scouts_are_localizers_even_when_they_do_not_say_so():
    files = [*ct_series(), ct_slice(3.0, ImageOrientationPatient=SAGITTAL, ImageType=["DERIVED"])]
    assert codes(decoded(files)) == ["LOCALIZER"]


def test_a_series_of_nothing_but_localizers_is_refused_by_every_pipeline():
    files = ct_series([0, 5], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    for handling in Handling:
        assert refused(files, UnfitVolume, rules(handling)).code == "LOCALIZER"


def test_of_slices_at_one_position_the_lowest_number_is_kept():
    files = [*ct_series([0, 10]), ct_slice(5.0, picture(1), number=9), ct_slice(5.0, picture(2), number=8)]
    assert np.array_equal(decoded(files).pixels[1], picture(2).astype(int) - 1024)


def test_the_same_file_twice_is_a_duplicate_not_a_second_volume():
    assert codes(decoded(ct_series() * 2)) == ["DUPLICATE_POSITIONS"]


def test_the_first_time_point_is_taken():
    image = decoded(_two_time_points())
    assert np.array_equal(image.pixels[1], picture(105).astype(int) - 1024)


def test_time_points_without_numbers_are_told_by_instance_numbers():
    image = decoded([ct_slice(z, picture(k), number=k) for k, z in enumerate([0.0, 5.0, 10.0] * 3)])
    assert codes(image) == ["SEVERAL_VOLUMES"]
    assert np.array_equal(image.pixels[2], picture(2).astype(int) - 1024)


def test_an_overlap_of_two_acquisitions_is_no_second_volume():
    files = [ct_slice(float(z), number=k, AcquisitionNumber=1) for k, z in enumerate(range(0, 30, 5))]
    files += [ct_slice(float(z), number=50 + k, AcquisitionNumber=2) for k, z in enumerate(range(25, 60, 5))]
    image = decoded(files)
    assert codes(image) == ["DUPLICATE_POSITIONS"]
    assert len(image.pixels) == 12
