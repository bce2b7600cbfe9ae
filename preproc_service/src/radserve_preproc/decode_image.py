"""Bytes of a PNG, JPEG, TIFF or BMP in, ``DecodedImage`` out, taken to grey as the trained system does.

That is: RGBA laid on white, everything else converted to RGB (more than 8 bits are cut off at 255), RGB to grey with
OpenCV's weights; no min-max. The trained system then refuses what fails its test of a "medical image"; since that test
refuses true radiographs (black borders), each of its reasons is a warning here. Its edge density test (Canny) is left
out: it would bring OpenCV into the service for the few pictures that only it objects to.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.ExifTags import Base

from radserve_contract.findings import ImageDescription, Notice
from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.errors import ConstantImage, CorruptImage, MultiFrame
from radserve_preproc.gate import body_part_unknown
from radserve_preproc.image import Grey, luma
from radserve_preproc.limits import DecodeLimits, check_size
from radserve_preproc.notices import NoticeCode, low_resolution, notice
from radserve_preproc.picture_checks import check_colour, check_grey_levels
from radserve_preproc.quiet import silence_libraries
from radserve_preproc.sniff import FileKind
from radserve_preproc.study import DecodedImage

# Pillow's own guard against decompression bombs; DecodeLimits is ours and is asked before a picture is decoded.
Image.MAX_IMAGE_PIXELS = None

_LOSSY_IN_TIFF = frozenset(("jpeg", "tiff_jpeg", "webp"))


def decode_image(
    content: bytes, kind: FileKind, spec: PipelineSpec, profile: Profile, limits: DecodeLimits
) -> DecodedImage:
    """Decode a raster file of that kind.

    Raises
    ------
    CorruptImage
        When it is cut off or broken.
    ImageTooLarge, ImageTooSmall
        When its size is outside ``limits``; it has not been decoded by then.
    MultiFrame
        When it is animated or has pages.
    ConstantImage
        When every pixel has the same grey level.
    """
    grey, changes, (colour, file_notices) = grey_picture(content, kind, limits)
    rows, columns = grey.shape
    notices = (
        *colour,
        body_part_unknown(spec.name),
        *file_notices,
        *check_grey_levels(grey),
        *low_resolution(rows, columns, profile),
    )
    return DecodedImage(grey, ImageDescription(kind.value, rows, columns), notices, changes)


def open_picture(content: bytes, kind: FileKind, limits: DecodeLimits) -> Image.Image:
    """A picture of one page and a size within ``limits``, its pixels not decoded yet; raises as ``decode_image``."""
    silence_libraries()
    picture = _open(content, kind)
    check_size(picture.height, picture.width, limits)
    _refuse_more_frames(picture, kind)
    return picture


def grey_picture(
    content: bytes, kind: FileKind, limits: DecodeLimits
) -> tuple[Grey, tuple[str, ...], tuple[tuple[Notice, ...], tuple[Notice, ...]]]:
    """The grey levels as Pillow has them, what was done, and what a reader must know about pixels and about the file.

    Raises as ``decode_image``.
    """
    picture = open_picture(content, kind, limits)
    orientation = _load(picture)
    grey, changes, notices = _to_grey(picture)
    _refuse_constant(grey)
    return grey, tuple(changes), (tuple(notices), tuple(_file_notices(picture, kind, orientation)))


def _open(content: bytes, kind: FileKind) -> Image.Image:
    """The picture with its header read and its pixels not yet."""
    try:
        return Image.open(BytesIO(content), formats=(kind.value,))
    except Exception as error:
        raise CorruptImage(f"the {kind.value} file cannot be read", cause=type(error).__name__) from None


def _refuse_more_frames(picture: Image.Image, kind: FileKind) -> None:
    """Refuse animations and pages. The further pictures in a camera's JPEG are previews of the first: not counted."""
    if kind is not FileKind.JPEG and getattr(picture, "is_animated", False):
        raise MultiFrame(f"the {kind.value} file holds several pictures; this pipeline reads one. Send it by itself")


def _load(picture: Image.Image) -> int:
    """Decode the pixels; the EXIF orientation, 1 when the picture has none or an unreadable one."""
    try:
        orientation = picture.getexif().get(Base.Orientation, 1)
        picture.load()
    except Exception as error:
        raise CorruptImage(
            f"the {picture.format} file is cut off or damaged: its pixels cannot be decoded. Send the whole file",
            cause=type(error).__name__,
        ) from None
    return orientation if isinstance(orientation, int) else 1


def _to_grey(picture: Image.Image) -> tuple[Grey, list[str], list[Notice]]:
    """``(rows, columns)`` uint8; what was done, in words; what a reader must know."""
    if picture.mode.startswith(("I", "F")):
        return _clipped(np.asarray(picture))
    if picture.mode in ("1", "L", "LA"):
        return np.asarray(picture.convert("L")), [], []
    colours = np.asarray(_as_rgb(picture))
    red, green, blue = (colours[..., channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(green, blue):
        return np.ascontiguousarray(red), [], []
    return luma(colours), ["colours turned into grey"], check_colour(colours)


def _as_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGBA":
        white = Image.new("RGB", picture.size, (255, 255, 255))
        white.paste(picture, mask=picture.getchannel("A"))
        return white
    return picture.convert("RGB")


def _clipped(values: npt.NDArray[np.number]) -> tuple[Grey, list[str], list[Notice]]:
    """Grey of more than 8 bits, cut off at 255 as Pillow's conversion to RGB does."""
    grey = np.clip(np.nan_to_num(values), 0, 255).astype(np.uint8)
    share = float(np.mean(values > 255))
    if not share:
        return grey, [], []
    message = (
        f"the picture has more than 8 bits, and {share:.0%} of its pixels are over 255: these were set to 255, as the"
        " trained system does. The answer means little; send the DICOM file or an 8-bit picture"
    )
    return grey, ["values over 255 set to 255"], [notice(NoticeCode.SIXTEEN_BIT_CLIPPED, message)]


def _refuse_constant(grey: Grey) -> None:
    lowest = int(grey.min())
    if lowest == int(grey.max()):
        raise ConstantImage(f"every pixel has the grey level {lowest}: there is nothing to see", value=lowest)


def _file_notices(picture: Image.Image, kind: FileKind, orientation: int) -> list[Notice]:
    notices = []
    if kind is FileKind.JPEG or picture.info.get("compression") in _LOSSY_IN_TIFF:
        notices.append(notice(NoticeCode.LOSSY_COMPRESSION, "the picture is a JPEG: it has been compressed with loss"))
    # Pillow turns TIFF files itself; the trained system gets them turned too.
    if orientation > 1 and kind is not FileKind.TIFF:
        message = (
            f"the picture's EXIF orientation is {orientation}: viewers turn or mirror it. The networks saw it as"
            " stored, and boxes and overlay are in stored pixels"
        )
        notices.append(notice(NoticeCode.EXIF_ORIENTATION_IGNORED, message))
    return notices
