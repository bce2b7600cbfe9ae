"""Every real sample radiograph and every nasty file: scored, or refused with the code that the file itself explains.

The tables are complete: a sample without a row fails.
"""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.uid import DigitalXRayImageStorageForPresentation, generate_uid

from tests.dicom_files import to_bytes
from tests.predicting import findings, post, refusal

SCORED = "scored"

RADIOGRAPHS = {
    # the header names a chest: DIAG THORAX, CHEST
    "chest_cr_mono1_bigendian.dcm": "WRONG_BODY_PART",
    "chest_cr_mono1_deflated.dcm": "WRONG_BODY_PART",
    "chest_cr_mono1_implicit.dcm": "WRONG_BODY_PART",
    "chest_sc_jpeg_baseline_mono1.dcm": "WRONG_BODY_PART",
    "chest_sc_jpeg_baseline_mono2.dcm": "WRONG_BODY_PART",
    # a real cervical-spine header over 16 x 16 pixels
    "cspine_lateral_tiny.dcm": "IMAGE_TOO_SMALL",
    "dental_cr_modality_lut.dcm": "WRONG_BODY_PART",
    # a thorax by its header, although the whole thoracic spine is in view
    "dx_lateral_mono1_8bit.dcm": "WRONG_BODY_PART",
    "mammo_jpeg_lossless_overlay.dcm": "WRONG_MODALITY",
    # a tibia, in eight transfer syntaxes
    "rg3_j2k_lossless.dcm": "WRONG_BODY_PART",
    "rg3_j2k_lossy.dcm": "WRONG_BODY_PART",
    "rg3_jpeg_extended_12bit.dcm": "WRONG_BODY_PART",
    "rg3_jpeg_lossless_sv1.dcm": "WRONG_BODY_PART",
    "rg3_jpegls_lossless.dcm": "WRONG_BODY_PART",
    "rg3_jpegls_nearlossless.dcm": "WRONG_BODY_PART",
    "rg3_rle.dcm": "WRONG_BODY_PART",
    # says neither modality nor body part, as anonymised spine data do
    "spine_style_header_j2k_lossless.dcm": SCORED,
}

NASTY = {
    "DICOMDIR": "NOT_AN_IMAGE",
    "bad_vr_values.dcm": "NOT_AN_IMAGE",  # an RT dose
    "colour_palette.dcm": "WRONG_MODALITY",  # ultrasound
    "colour_rgb.dcm": "WRONG_MODALITY",  # ultrasound
    "colour_ybr422.dcm": "COLOUR_IMAGE",
    "ct_missing_pixeldata.dcm": "WRONG_MODALITY",
    "ct_missing_position.dcm": "WRONG_MODALITY",
    "ct_missing_rescale.dcm": "WRONG_MODALITY",
    "headless_ct_old.dcm": "WRONG_MODALITY",
    "htj2k_lossless_rgb.dcm": "COLOUR_IMAGE",
    "huge_declared_size.dcm": "IMAGE_TOO_LARGE",
    "jpegls_signed_15bit.dcm": SCORED,  # a secondary capture that says nothing of itself
    "missing_pixeldata_cr.dcm": "MISSING_ELEMENT",
    "missing_rows.dcm": "WRONG_MODALITY",  # MR
    "multiframe_enhanced_ct_jpeg12.dcm": "WRONG_MODALITY",
    "multiframe_enhanced_mr.dcm": "WRONG_MODALITY",
    "multiframe_rgb_rle.dcm": "MULTI_FRAME",
    "no_file_meta.dcm": "UNSUPPORTED_FILE",  # one meaningless element, no DICOM
    "no_pixel_spacing.dcm": "WRONG_MODALITY",  # ultrasound
    "not_dicom_ds_store.bin": "UNSUPPORTED_FILE",
    "rescale_differs_between_slices_1.dcm": "WRONG_MODALITY",  # CT
    "rescale_differs_between_slices_2.dcm": "WRONG_MODALITY",  # CT
    "signed_12bit_modality_lut.dcm": SCORED,  # Modality OT
    "sop_encapsulated_pdf.dcm": "NOT_AN_IMAGE",
    "sop_presentation_state.dcm": "NOT_AN_IMAGE",
    "sop_rtdose_multiframe.dcm": "NOT_AN_IMAGE",
    "sop_rtplan.dcm": "NOT_AN_IMAGE",
    "sop_rtstruct_no_meta.dcm": "NOT_AN_IMAGE",
    "sop_segmentation_1bit.dcm": "NOT_AN_IMAGE",
    "sop_structured_report.dcm": "NOT_AN_IMAGE",
    "sop_waveform_deflated.dcm": "NOT_AN_IMAGE",
    "truncated_j2k_ct.dcm": "CORRUPT_DICOM",
    "truncated_pixels.dcm": "WRONG_MODALITY",  # MR
    "vr_un_everywhere_ct.dcm": "WRONG_MODALITY",
    "wrong_transfer_syntax_ct.dcm": "WRONG_MODALITY",  # CT
}

STATUSES = {"UNSUPPORTED_FILE": 415}


@pytest.mark.parametrize(("folder", "table"), [("radiographs", RADIOGRAPHS), ("nasty", NASTY)])
def test_the_table_names_every_sample(sample_data: Path, folder: str, table: dict[str, str]) -> None:
    assert sorted(path.name for path in (sample_data / folder).iterdir()) == sorted(table)


@pytest.mark.parametrize(
    ("sample", "outcome"),
    [
        (f"{folder}/{name}", outcome)
        for folder, table in (("radiographs", RADIOGRAPHS), ("nasty", NASTY))
        for name, outcome in table.items()
    ],
)
def test_a_sample_is_scored_or_refused_as_the_table_says(
    http: httpx.Client, sample_data: Path, sample: str, outcome: str
) -> None:
    response = post(http, (sample_data / sample).read_bytes(), detect="never")
    if outcome == SCORED:
        assert findings(response)["decision"]["label"] in ("normal", "abnormal")
    else:
        refusal(response, STATUSES.get(outcome, 422), outcome)


def as_spine(film: bytes) -> bytes:
    """The same pixels under a header that says spine: an X-ray of any part goes the way of a spine film then."""
    ds = pydicom.dcmread(io.BytesIO(film))
    ds.BodyPartExamined, ds.Modality = "SPINE", "DX"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["as spine"])
    return to_bytes(ds)


TIBIA = ("rg3_j2k_lossless.dcm", "rg3_jpeg_lossless_sv1.dcm", "rg3_jpegls_lossless.dcm", "rg3_rle.dcm")
CHEST = ("chest_cr_mono1_bigendian.dcm", "chest_cr_mono1_deflated.dcm", "chest_cr_mono1_implicit.dcm")


@pytest.mark.parametrize("group", [TIBIA, CHEST], ids=["tibia", "chest"])
def test_one_film_in_several_lossless_encodings_has_one_answer(
    http: httpx.Client, sample_data: Path, group: tuple[str, ...]
) -> None:
    films = [as_spine((sample_data / "radiographs" / name).read_bytes()) for name in group]
    answers = [findings(post(http, film, detect="never")) for film in films]
    assert len({answer["image"]["transfer_syntax_uid"] for answer in answers}) == len(group)
    assert len({answer["decision"]["probability"] for answer in answers}) == 1


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # two of the headers have UIDs that are none
@pytest.mark.parametrize("name", [name for name in RADIOGRAPHS if name != "cspine_lateral_tiny.dcm"])
def test_every_radiograph_decodes_and_is_scored_when_its_header_says_spine(
    http: httpx.Client, sample_data: Path, name: str
) -> None:
    answer = findings(post(http, as_spine((sample_data / "radiographs" / name).read_bytes()), detect="never"))
    assert 0 < answer["decision"]["probability"] < 1
