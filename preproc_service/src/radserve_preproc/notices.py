"""What a reader of an answer must know about the image: stable codes. ``docs/errors.md`` lists the same."""

from __future__ import annotations

from enum import StrEnum

from radserve_contract.findings import Notice
from radserve_contract.spec import Preparation, Profile


class NoticeCode(StrEnum):
    """Codes of the warnings that decoding puts into an answer; the docstring of each is its line in docs/errors.md."""

    MODALITY_MISSING = "MODALITY_MISSING"
    """The header does not say which modality made the image."""
    BODY_PART_UNKNOWN = "BODY_PART_UNKNOWN"
    """Nothing says which body part is shown; it was taken for the one the pipeline reads."""
    OTHER_BODY_PART = "OTHER_BODY_PART"
    """The header names another body part too."""
    TRANSFER_SYNTAX_GUESSED = "TRANSFER_SYNTAX_GUESSED"
    """A DICOM data set without file meta information; its encoding was found by looking."""
    LOSSY_COMPRESSION = "LOSSY_COMPRESSION"
    """The image has been compressed with loss."""
    BURNED_IN_ANNOTATION = "BURNED_IN_ANNOTATION"
    """Text is burned into the pixels, perhaps with the patient's name; the overlay shows it too."""
    LOW_RESOLUTION = "LOW_RESOLUTION"
    """The image is smaller than what the networks look at and was enlarged."""
    VOI_LUT_NOT_APPLIED = "VOI_LUT_NOT_APPLIED"
    """The profile applies the VOI LUT or window, but the one in the header cannot be applied."""
    SIXTEEN_BIT_CLIPPED = "SIXTEEN_BIT_CLIPPED"
    """A raster image with more than 8 bits was cut off at 255, as the trained system does."""
    STORED_VALUES_CLIPPED = "STORED_VALUES_CLIPPED"
    """Stored values outside 0 to 255 were cut off, as the trained system does; the message says what that hides."""
    EXIF_ORIENTATION_IGNORED = "EXIF_ORIENTATION_IGNORED"
    """The picture asks viewers to turn or mirror it; the networks saw it as stored, as the trained system does."""
    COLOUR_PICTURE = "COLOUR_PICTURE"
    """The picture has real colour; a radiograph is grey."""
    DOMINANT_GREY_LEVEL = "DOMINANT_GREY_LEVEL"
    """One grey level covers more than a quarter of the picture."""
    LOW_CONTRAST = "LOW_CONTRAST"
    """Grey levels hardly differ."""
    PICTURE_OF_A_SLICE = "PICTURE_OF_A_SLICE"
    """A picture was sent to a CT pipeline: nothing says its Hounsfield units, spacing or window."""
    NARROW_GREY_RANGE = "NARROW_GREY_RANGE"
    """Only a small part of the grey scale is used."""


def notice(code: NoticeCode, message: str) -> Notice:
    """A notice with that code. The message holds no text from the header except terms of our own lists."""
    return Notice(code.value, message)


def low_resolution(rows: int, columns: int, profile: Profile) -> tuple[Notice, ...]:
    """LOW_RESOLUTION when the classifiers of ``profile`` see an image that had to be enlarged."""
    wanted = [item.tensor.dims[-2:] for item in profile.inputs if item.preparation is Preparation.RESIZE]
    if all(rows >= height and columns >= width for height, width in wanted):
        return ()
    message = f"the image has {rows} rows x {columns} columns and was enlarged for networks that were trained on films"
    return (notice(NoticeCode.LOW_RESOLUTION, message),)
