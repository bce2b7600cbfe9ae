"""Bytes of a DICOM radiograph in, ``DecodedImage`` out, or an error that says why it is not fit for the pipeline."""

from __future__ import annotations

from pydicom.dataset import Dataset

from radserve_contract.findings import Notice
from radserve_contract.spec import FilmProfile, PipelineSpec, Profile, Windowing
from radserve_preproc.dicom_header import (
    GREY,
    PixelHeader,
    body_part_texts,
    describe,
    named,
    read_pixel_header,
    text,
    texts,
)
from radserve_preproc.dicom_pixels import stored_values
from radserve_preproc.frame_decoders import ALWAYS_LOSSY
from radserve_preproc.gate import check_body_part
from radserve_preproc.image import Window, to_eight_bits
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.notices import NoticeCode, low_resolution, notice
from radserve_preproc.object_kind import check_modality, refuse_other_objects
from radserve_preproc.read_dicom import DicomFile, read_dicom
from radserve_preproc.study import DecodedImage
from radserve_preproc.voi import unchanged, voi_window


def decode_dicom(content: bytes, spec: PipelineSpec, profile: Profile, limits: DecodeLimits) -> DecodedImage:
    """Decode a single-frame radiograph for ``spec``, with the windowing of ``profile``.

    What costs nothing is checked first: kind of object, modality, body part, header; then the pixels.

    Raises
    ------
    Unfit
        One of its classes, by what is wrong: see ``errors.py``.
    """
    file = read_dicom(content, max_inflated_bytes=limits.max_inflated_bytes)
    refuse_other_objects(file.sop_class_uid)
    notices = [
        *check_modality(text(file.ds, "Modality"), file.sop_class_uid, spec),
        *check_body_part(body_part_texts(file.ds), spec.gate, pipeline=spec.name),
    ]
    header = read_pixel_header(file.ds, limits)
    stored, pixel_changes = stored_values(file, header, threads=limits.threads_per_image)
    window, window_changes, window_notices = _window(file.ds, header, profile)
    pixels, scaling = to_eight_bits(
        stored, is_inverted=header.photometric_interpretation == "MONOCHROME1", window=window
    )
    notices += [*_acquisition_notices(file), *window_notices, *low_resolution(header.rows, header.columns, profile)]
    return DecodedImage(pixels, describe(file, header), tuple(notices), (*pixel_changes, *window_changes, *scaling))


def _window(
    ds: Dataset, header: PixelHeader, profile: Profile
) -> tuple[Window | None, tuple[str, ...], tuple[Notice, ...]]:
    """How ``profile`` shows stored values, that in words for the answer, and what could not be done."""
    if not isinstance(profile, FilmProfile) or profile.windowing is Windowing.NONE:
        return None, (), ()
    return voi_window(ds) if header.photometric_interpretation in GREY else (unchanged, (), ())


def _acquisition_notices(file: DicomFile) -> list[Notice]:
    """What the header says about the image that a reader of the answer must know."""
    notices = []
    if file.guessed:
        notices.append(
            notice(
                NoticeCode.TRANSFER_SYNTAX_GUESSED,
                f"the file has no (0002,0010) Transfer Syntax UID; read as {file.transfer_syntax.name}",
            )
        )
    if text(file.ds, "LossyImageCompression") == "01" or file.transfer_syntax in ALWAYS_LOSSY:
        notices.append(notice(NoticeCode.LOSSY_COMPRESSION, _lossy(file.ds)))
    if text(file.ds, "BurnedInAnnotation").upper() == "YES":
        notices.append(
            notice(
                NoticeCode.BURNED_IN_ANNOTATION,
                f"{named('BurnedInAnnotation')} is YES: the pixels, and so the overlay, may show who the patient is",
            )
        )
    return notices


def _lossy(ds: Dataset) -> str:
    """The message on lossy compression, with the ratios of each time it was done (PS3.3 C.7.6.1.1.5)."""
    try:
        ratios = [f"{float(ratio):g}:1" for ratio in texts(ds, "LossyImageCompressionRatio")]
    except ValueError:
        ratios = []
    return "the image has been compressed with loss" + (f", {', then '.join(ratios)}" if ratios else "")
