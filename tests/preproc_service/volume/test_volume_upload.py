"""What is made of an upload: which files, which series, and how bad ones are refused."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pydicom.uid import MRImageStorage, RLELossless

from radserve_contract.gates import CHEST
from radserve_contract.volumes import Handling, SeriesChoice
from radserve_preproc.errors import (
    BadPixelData,
    BadRequest,
    ColourImage,
    CorruptDicom,
    ImageTooLarge,
    MissingElement,
    NoFile,
    NotAnImage,
    TooLarge,
    UnfitVolume,
    UnsupportedFile,
    WrongBodyPart,
    WrongModality,
)
from tests.dicom_files import make_object
from tests.preproc_service.volume.series_files import (
    codes,
    ct_series,
    ct_slice,
    decoded,
    enhanced_ct,
    geometry,
    picture,
    refused,
    rules,
    uid,
)

REPORT = make_object("1.2.840.10008.5.1.4.1.1.88.33", "SR")
MR = ct_slice(0.0, SOPClassUID=MRImageStorage, Modality="MR")


def test_no_files_are_a_bad_request():
    refused([], NoFile)


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([REPORT], NotAnImage),
        ([MR], WrongModality),
        ([MR, ct_slice(5.0, SOPClassUID=MRImageStorage, Modality="MR")], WrongModality),
        ([b"%PDF-1.4 something"], UnsupportedFile),
        ([ct_slice(0.0)[:400]], CorruptDicom),
        ([ct_slice(0.0, PixelData=None)], MissingElement),
        ([ct_slice(0.0, np.zeros((6, 8, 3), np.uint8), bits_stored=8)], ColourImage),
        ([REPORT, MR], UnfitVolume),
    ],
)
def test_an_upload_without_any_ct_image_says_what_it_is(files, error):
    refused(files, error)


def test_junk_beside_a_series_is_left_out_and_counted_by_its_reason():
    image = decoded([b"junk", *ct_series(), REPORT, MR, ct_slice(3.0)[:400]])
    assert codes(image) == ["OTHER_OBJECTS"]
    (said,) = [warning.message for warning in image.warnings if warning.code == "OTHER_OBJECTS"]
    assert "4 of 14" in said
    assert "1 x CORRUPT_DICOM, 1 x NOT_AN_IMAGE, 1 x UNSUPPORTED_FILE, 1 x WRONG_MODALITY" in said
    assert len(image.pixels) == 10


def test_a_missing_modality_is_said_once_for_a_series():
    image = decoded(ct_series(Modality=None))
    assert codes(image) == ["MODALITY_MISSING"]


def test_a_wrong_body_part_is_refused():
    from dataclasses import replace

    refused(ct_series(), WrongBodyPart, replace(rules(), gate=CHEST))


def test_a_truncated_slice_in_the_middle_is_refused_by_its_number():
    files = ct_series()
    files[4] = files[4][:-20]
    assert refused(files, BadPixelData).message.startswith("slice 5 of 10: ")


def test_a_damaged_compressed_slice_is_refused_by_its_number():
    files = [ct_slice(z, picture(int(z), 64, 64), transfer_syntax=RLELossless) for z in (0.0, 5.0, 10.0)]
    start = files[1].rindex(b"\xfe\xff\x00\xe0") + 8
    files[1] = files[1][: start + 64] + b"\x00" * 200 + files[1][start + 264 :]
    assert refused(files, BadPixelData).message.startswith("slice 2 of 3: ")


@pytest.mark.parametrize("lost", [8, 9, 200])
def test_a_compressed_slice_that_was_cut_off_is_refused(lost):
    """Even when only the delimiter at its end is lost: decoders would make do with the rest of a stream."""
    file = ct_slice(0.0, picture(1, 64, 64), transfer_syntax=RLELossless)
    assert file.endswith(b"\xfe\xff\xdd\xe0" + bytes(4))
    refused([file[:-lost]], CorruptDicom)


def test_huge_rows_are_refused_before_anything_is_allocated():
    refused([ct_slice(0.0, Rows=65535, Columns=65535)], ImageTooLarge)
    refused([*ct_series(), ct_slice(0.0, Rows=65535, Columns=65535)], ImageTooLarge)


def test_rows_that_the_pixels_do_not_fill_are_refused():
    refused([ct_slice(0.0, Rows=5000, Columns=5000)], BadPixelData)


def test_the_limit_of_voxels_counts_all_slices():
    refused(ct_series(), ImageTooLarge, max_voxels=10 * 6 * 8 - 1)
    decoded(ct_series(), max_voxels=10 * 6 * 8)


@pytest.mark.parametrize("heights", [range(0, 55, 5), [0, 5, 10, 15, 20, 40], [0, 5, 10, 15, 20, 38.6]])
def test_the_limit_of_slices_counts_interpolated_ones(heights):
    assert refused(ct_series(heights), ImageTooLarge, rules(max_slices=7)).details["max_slices"] == 7


def test_deflated_files_share_one_limit():
    files = ct_series([0, 5, 10], transfer_syntax="1.2.840.10008.1.2.1.99")
    decoded(files, max_inflated_bytes=10_000)
    refused(files, TooLarge, max_inflated_bytes=1500)


def test_thousands_of_odd_files_take_no_time_squared():
    """Each has another pixel spacing: the worst case for grouping."""
    template = ct_slice(0.0)
    spacing = b"2.0\\3.0 "
    assert spacing in template
    files = [*ct_series(), *(template.replace(spacing, f"{k:04d}\\3  ".encode()) for k in range(1000, 3000))]
    started = time.monotonic()
    assert codes(decoded(files)) == ["MIXED_MATRIX"]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("value", ["1e300", "-1e300", "1e-300"])
def test_numbers_that_no_scanner_writes_are_no_numbers(keyword, value):
    """Whatever is made of them, it is a volume of finite values or a refusal, never a crash."""
    values = {"ImagePositionPatient": ["0", "0", value], "PixelSpacing": [value, value]}.get(keyword, value)
    image = decoded([*ct_series([0, 5]), ct_slice(10.0, **{keyword: values})])
    assert np.isfinite(image.pixels).all()
    assert np.isfinite(image.positions_mm).all()


def test_three_thousand_files_that_are_nothing():
    assert refused([b"x" * 20] * 3000, UnsupportedFile).code == "UNSUPPORTED_FILE"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"heights": range(0, 25, 5)}, "it has the most images"),
        ({"heights": range(0, 50, 5), "SliceThickness": 6.0}, "its slices are the thinnest"),
        ({"heights": range(0, 100, 5), "SliceThickness": 9.0}, "its slice thickness is within 1 to 7 mm"),
        ({"heights": range(0, 100, 5), "ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "it is axial"),
        ({"heights": range(0, 100, 5), "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "it is no localizer"),
        ({"heights": [0, 5]}, "it has at least 4 images"),
    ],
)
def test_the_series_that_the_trained_system_prefers_is_chosen_and_said_why(other, reason):
    heights = other.pop("heights")
    files = [*ct_series(), *ct_series(heights, series="other", **other)]
    image = decoded(files, rules(choice=SeriesChoice(4, (1.0, 7.0))))
    assert image.description.series_instance_uid == uid("main")
    assert image.description.series_chosen.endswith(f"taken of 2 series: {reason}")
    assert image.description.series_chosen in image.changes


def test_a_series_that_was_asked_for_is_taken():
    files = [*ct_series(), *ct_series([0, 5], series="other")]
    image = decoded(files, rules(Handling.REFUSE), series=uid("other"))
    assert len(image.pixels) == 2
    assert image.description.series_chosen == "it was asked for, of 2 series"
    assert not codes(image)


def test_a_series_that_is_not_there_is_a_bad_request():
    with pytest.raises(BadRequest) as caught:
        decoded(ct_series(), series="1.2.3")
    assert caught.value.details == {"found": 1}
    assert uid("main") not in caught.value.message


def test_slices_without_series_uids_are_grouped_by_geometry():
    files = [*ct_series(SeriesInstanceUID=""), *ct_series([0, 5], SeriesInstanceUID="", PixelSpacing=[1.0, 1.0])]
    image = decoded(files)
    assert codes(image) == ["SEVERAL_SERIES"]
    assert len(image.pixels) == 10
    assert image.description.series_instance_uid is None


def frames(count: int) -> np.ndarray:
    return np.stack([picture(k) for k in range(count)])


def test_an_enhanced_ct_is_a_volume_of_its_frames():
    image = decoded([enhanced_ct(frames(4), [15.0, 0.0, 5.0, 10.0])])
    assert image.description.kind == "Enhanced CT"
    assert geometry(image).origin_mm == (-10, -20, 0)
    assert geometry(image).spacing_mm == (3, 2, 5)
    expected = frames(4)[[1, 2, 3, 0]].astype(int) - 1024
    assert np.array_equal(image.pixels, expected)
    assert not codes(image)


def test_each_frame_has_its_own_rescale():
    image = decoded([enhanced_ct(frames(2), [0.0, 5.0], intercepts=[-1000, -500])])
    assert np.array_equal(image.pixels, frames(2).astype(int) - [[[1000]], [[500]]])


def test_compressed_frames_are_told_apart():
    image = decoded([_compressed_enhanced(3)])
    assert np.array_equal(image.pixels, frames(3).astype(int) - 1024)


def _compressed_enhanced(count: int) -> bytes:
    from io import BytesIO

    from pydicom import dcmread

    ds = dcmread(BytesIO(enhanced_ct(frames(count), [5.0 * k for k in range(count)])))
    ds.compress(RLELossless, frames(count), encoding_plugin="pydicom")
    buffer = BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def test_frames_beyond_the_pixels_are_refused():
    refused([enhanced_ct(frames(2), [0.0, 5.0, 10.0], Rows=6)], BadPixelData)


def test_more_frames_than_a_pipeline_reads_are_refused_before_they_are_looked_at():
    refused([enhanced_ct(frames(1), [0.0], NumberOfFrames=100_000)], ImageTooLarge)


def test_frames_without_positions_are_a_missing_position():
    file = enhanced_ct(frames(3), [0, 5, 10], PerFrameFunctionalGroupsSequence=None, InstanceNumber=1)
    assert codes(decoded([file])) == ["MISSING_POSITION"]


def test_parts_of_a_concatenation_are_one_volume():
    files = [
        enhanced_ct(frames(4)[:2], [0.0, 5.0], SOPInstanceUID=uid("a"), InstanceNumber=1),
        enhanced_ct(frames(4)[2:], [10.0, 15.0], SOPInstanceUID=uid("b"), InstanceNumber=2),
    ]
    assert np.array_equal(decoded(files).pixels, frames(4).astype(int) - 1024)
