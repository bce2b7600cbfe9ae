"""DICOM headers: what is refused and with which code, what is warned of, what is told."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import Dataset

from radserve_preproc import errors
from radserve_preproc.read_dicom import ELEMENTS, read_dicom
from tests.dicom_files import PATIENT_WORDS, make_object, make_radiograph, texture, to_bytes
from tests.preproc_service.decoding import ANY_FILM, codes, decoded, refused


def edited(film: bytes, **raw: Any) -> bytes:
    """The film with elements set as they stand, past pydicom's checks of their values."""
    ds = pydicom.dcmread(io.BytesIO(film))
    for keyword, value in raw.items():
        ds[keyword]._value = value
    return to_bytes(ds)


def test_a_plain_film_decodes_without_a_warning() -> None:
    image = decoded(make_radiograph())
    assert image.pixels.shape == (320, 256)
    assert image.warnings == ()
    assert image.changes == ("values 0 to 4095 scaled to 0 to 255",)


class TestObjects:
    @pytest.mark.parametrize(
        ("sop_class", "modality"),
        [
            (uid.ComprehensiveSRStorage, "SR"),
            (uid.EncapsulatedPDFStorage, "DX"),
            (uid.RTStructureSetStorage, "RTSTRUCT"),
            (uid.TwelveLeadECGWaveformStorage, "ECG"),
            (uid.GrayscaleSoftcopyPresentationStateStorage, "PR"),
            (uid.KeyObjectSelectionDocumentStorage, "KO"),
        ],
    )
    def test_that_are_no_images_are_named(self, sop_class: uid.UID, modality: str) -> None:
        error = refused(make_object(sop_class, modality), errors.NotAnImage)
        assert error.details == {"sop_class": sop_class.name}

    def test_with_pixels_that_are_no_pictures_are_refused_too(self) -> None:
        film = make_radiograph(SOPClassUID=uid.SegmentationStorage, Modality="SEG")
        refused(film, errors.NotAnImage)

    def test_of_private_sop_classes_pass(self) -> None:
        assert decoded(make_radiograph(SOPClassUID="1.3.6.1.4.1.5962.99")).warnings == ()


class TestModality:
    @pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG", "PT", "IO"])
    def test_of_another_kind_is_refused(self, modality: str) -> None:
        assert refused(make_radiograph(Modality=modality), errors.WrongModality).details == {"found": modality}

    def test_that_is_no_term_of_the_standard_is_not_repeated(self) -> None:
        error = refused(make_radiograph(Modality="WILHELMINA"), errors.WrongModality)
        assert "WILHELMINA" not in error.message + str(error.details)

    @pytest.mark.parametrize("modality", ["CR", "DX", "RF", "XA", "OT", "RG", "dx"])
    def test_of_x_rays_passes(self, modality: str) -> None:
        assert decoded(make_radiograph(Modality=modality)).warnings == ()

    @pytest.mark.parametrize("modality", [None, ""])
    def test_that_is_missing_is_warned_of(self, modality: str | None) -> None:
        assert codes(decoded(make_radiograph(Modality=modality))) == ["MODALITY_MISSING"]

    def test_that_is_missing_is_taken_from_the_sop_class(self) -> None:
        film = make_radiograph(Modality=None, SOPClassUID=uid.CTImageStorage)
        assert refused(film, errors.WrongModality).details == {"found": "CT"}

    def test_of_the_sop_class_counts_beside_that_of_the_header(self) -> None:
        refused(make_radiograph(Modality="DX", SOPClassUID=uid.MRImageStorage), errors.WrongModality)

    def test_that_is_no_term_is_not_quoted(self) -> None:
        error = refused(edited(make_radiograph(), Modality="CANARY^W"), errors.WrongModality)
        assert "CANARY" not in error.message


class TestBodyPart:
    def test_is_found_in_the_anatomic_region(self) -> None:
        region = Dataset()
        region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "T-D4000", "SRT", "Abdomen"
        film = make_radiograph(BodyPartExamined=None, StudyDescription=None, AnatomicRegionSequence=[region])
        assert refused(film, errors.WrongBodyPart).details == {"found": ["ABDOMEN"]}

    def test_that_is_nowhere_named_is_warned_of(self) -> None:
        film = make_radiograph(BodyPartExamined=None, StudyDescription="Dr Canary")
        assert codes(decoded(film)) == ["BODY_PART_UNKNOWN"]

    def test_is_judged_before_the_pixels_are_looked_at(self) -> None:
        refused(make_radiograph(BodyPartExamined="KNEE", StudyDescription="", PixelData=b"\0\0"), errors.WrongBodyPart)


class TestHeader:
    @pytest.mark.parametrize(
        "keyword",
        [
            "Rows",
            "Columns",
            "BitsAllocated",
            "BitsStored",
            "PixelRepresentation",
            "PhotometricInterpretation",
            "PixelData",
        ],
    )
    def test_missing_element_is_named_by_tag(self, keyword: str) -> None:
        error = refused(make_radiograph(**{keyword: None}), errors.MissingElement)
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in error.message
        assert error.details == {"element": keyword}

    def test_samples_per_pixel_and_high_bit_may_be_missing_where_only_one_value_is_possible(self) -> None:
        bare = make_radiograph(SamplesPerPixel=None, HighBit=None)
        assert np.array_equal(decoded(bare).pixels, decoded(make_radiograph()).pixels)

    @pytest.mark.parametrize(
        ("elements", "tag"),
        [
            ({"BitsAllocated": 32}, "(0028,0100)"),
            ({"BitsAllocated": 12}, "(0028,0100)"),
            ({"BitsStored": 0}, "(0028,0101)"),
            ({"BitsStored": 17}, "(0028,0101)"),
            ({"HighBit": 16}, "(0028,0102)"),
            ({"HighBit": 3}, "(0028,0102)"),
            ({"PixelRepresentation": 2}, "(0028,0103)"),
            ({"SamplesPerPixel": 3}, "(0028,0002)"),
            ({"PhotometricInterpretation": "HSV"}, "(0028,0004)"),
            ({"Rows": 0}, "0 rows"),
        ],
    )
    def test_values_that_no_radiograph_has_are_refused(self, elements: dict[str, Any], tag: str) -> None:
        assert tag in refused(make_radiograph(**elements), errors.BadPixelData).message

    @pytest.mark.parametrize("frames", ["1", "0", ""])
    def test_one_frame_is_one_however_it_is_written(self, frames: str) -> None:
        assert decoded(make_radiograph(NumberOfFrames=frames)).pixels.shape == (320, 256)

    def test_several_frames_are_refused(self) -> None:
        assert refused(make_radiograph(NumberOfFrames=2), errors.MultiFrame).details == {"frames": 2}

    def test_a_number_that_is_none_is_corrupt_and_not_quoted(self) -> None:
        error = refused(edited(make_radiograph(NumberOfFrames=1), NumberOfFrames="CANARY"), errors.CorruptDicom)
        assert error.details == {"element": "NumberOfFrames"}

    def test_an_absurd_size_is_refused_before_anything_is_allocated(self) -> None:
        error = refused(make_radiograph(Rows=65535, Columns=65535), errors.ImageTooLarge)
        assert error.details["rows"] == 65535

    def test_the_limits_are_those_that_were_set(self) -> None:
        film = make_radiograph(texture(60, 70))
        assert decoded(film, max_pixels=4200, min_side_px=60).pixels.shape == (60, 70)
        refused(film, errors.ImageTooLarge, max_pixels=4199)
        refused(film, errors.ImageTooSmall, min_side_px=61)


class TestCutOff:
    @pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.RLELossless])
    def test_anywhere_gives_an_error_and_never_an_answer(self, syntax: uid.UID) -> None:
        film = make_radiograph(texture(60, 70), transfer_syntax=syntax)
        for length in [*range(132, 1200, 7), *range(1200, len(film) - 1, 501)]:
            with pytest.raises((errors.Unfit, errors.UnsupportedFile)):
                decoded(film[:length])

    @pytest.mark.parametrize("where", ["in a header value", "in a compressed frame"])
    def test_is_told(self, where: str) -> None:
        film = make_radiograph(transfer_syntax=uid.JPEG2000Lossless)
        length = film.index(b"Lumbar spine") + 5 if where == "in a header value" else len(film) - 500
        assert "cut off in the middle of an element" in refused(film[:length], errors.CorruptDicom).message

    def test_in_a_deflated_data_set_is_told(self) -> None:
        film = make_radiograph(transfer_syntax=uid.DeflatedExplicitVRLittleEndian)
        assert "cut off" in refused(film[:-40], errors.CorruptDicom).message

    def test_after_the_pixels_harms_nothing(self) -> None:
        film = make_radiograph() + b"\xfc\xff\xfc\xffOB\0\0\xff\x00\x00\x00..."
        assert decoded(film).warnings == ()

    def test_a_data_set_that_inflates_beyond_the_limit_is_refused(self) -> None:
        film = make_radiograph(transfer_syntax=uid.DeflatedExplicitVRLittleEndian)
        assert decoded(film, max_inflated_bytes=200_000).warnings == ()
        refused(film, errors.TooLarge, max_inflated_bytes=100_000)


class TestNotices:
    def test_lossy_compression_is_told_with_its_ratios(self) -> None:
        (notice,) = decoded(
            make_radiograph(LossyImageCompression="01", LossyImageCompressionRatio=["7.5", "3"])
        ).warnings
        assert notice.code == "LOSSY_COMPRESSION"
        assert notice.message.endswith("7.5:1, then 3:1")

    def test_lossy_compression_without_a_ratio(self) -> None:
        assert codes(decoded(make_radiograph(LossyImageCompression="01"))) == ["LOSSY_COMPRESSION"]
        assert decoded(make_radiograph(LossyImageCompression="00")).warnings == ()

    def test_burned_in_annotation(self) -> None:
        assert codes(decoded(make_radiograph(BurnedInAnnotation="YES"))) == ["BURNED_IN_ANNOTATION"]
        assert decoded(make_radiograph(BurnedInAnnotation="NO")).warnings == ()

    def test_low_resolution_depends_on_the_profile(self) -> None:
        film = make_radiograph(texture(300, 300))
        assert decoded(film, profile="deployed").warnings == ()
        assert codes(decoded(film, profile="published")) == ["LOW_RESOLUTION"]


class TestWindow:
    def test_is_applied_in_the_published_profile_only(self) -> None:
        film = make_radiograph(WindowCenter=2000, WindowWidth=400)
        deployed, published = decoded(film), decoded(film, profile="published")
        assert not np.array_equal(deployed.pixels, published.pixels)
        assert published.changes[0] == "VOI LUT or window applied"
        assert np.mean(published.pixels == 0) > 0.2
        assert np.mean(deployed.pixels == 0) < 0.05

    def test_that_is_missing_leaves_stored_values(self) -> None:
        film = make_radiograph()
        assert np.array_equal(decoded(film).pixels, decoded(film, profile="published").pixels)

    def test_that_is_broken_is_left_out_with_a_notice(self) -> None:
        film = make_radiograph(texture(400, 400), WindowCenter=2000, WindowWidth=0)
        assert codes(decoded(film, profile="published")) == ["VOI_LUT_NOT_APPLIED"]


class TestDescription:
    def test_tells_what_was_read(self) -> None:
        film = make_radiograph(
            ViewPosition="LL", PatientOrientation=["A", "F"], PixelSpacing=[0.2, 0.1], ImagerPixelSpacing=[0.3, 0.3]
        )
        told = decoded(film).description
        assert (told.kind, told.rows, told.columns, told.bits_stored) == ("DICOM", 320, 256, 12)
        assert (told.modality, told.body_part_examined, told.view_position) == ("CR", "LSPINE", "LL")
        assert told.patient_orientation == ("A", "F")
        assert (told.pixel_spacing_mm, told.pixel_spacing_from) == ((0.2, 0.1), "PixelSpacing")
        assert told.transfer_syntax_uid == uid.ExplicitVRLittleEndian
        assert told.sop_class_uid == uid.ComputedRadiographyImageStorage
        assert told.study_instance_uid

    def test_takes_the_imager_s_spacing_where_there_is_no_other(self) -> None:
        told = decoded(make_radiograph(ImagerPixelSpacing=[0.3, 0.25])).description
        assert (told.pixel_spacing_mm, told.pixel_spacing_from) == ((0.3, 0.25), "ImagerPixelSpacing")

    @pytest.mark.parametrize("spacing", [["0.2", "0"], ["-1", "-1"], ["0.2"], ["a", "b"], []])
    def test_has_no_spacing_that_is_none(self, spacing: list[str]) -> None:
        film = edited(make_radiograph(PixelSpacing=[0.1, 0.1]), PixelSpacing=spacing)
        told = decoded(film).description
        assert (told.pixel_spacing_mm, told.pixel_spacing_from) == (None, None)

    def test_keeps_uids_that_are_no_uids(self) -> None:
        film = edited(make_radiograph(), StudyInstanceUID="a3f7c0ffee")
        assert decoded(film).description.study_instance_uid == "a3f7c0ffee"


class TestPrivacy:
    def test_no_patient_element_is_ever_read(self) -> None:
        assert not [
            keyword for keyword in ELEMENTS if keyword.startswith("Patient") and keyword != "PatientOrientation"
        ]
        kept = read_dicom(make_radiograph(), max_inflated_bytes=1).ds
        assert not [word for word in PATIENT_WORDS if word in str(kept)]

    def test_pydicoms_words_on_bad_values_reach_neither_log_nor_stderr(
        self, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        film = edited(make_radiograph(), StudyInstanceUID="CANARY^W", BodyPartExamined="LSPINE" * 9, Modality="CR ")
        with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            decoded(film, spec=ANY_FILM)
        assert caught == []
        assert caplog.text == ""
        assert capfd.readouterr() == ("", "")
