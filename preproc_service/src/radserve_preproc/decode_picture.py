"""Bytes of a PNG, JPEG, TIFF or BMP for a CT pipeline in, ``DecodedImage`` of one slice out.

The trained systems read pictures of slices with Pillow or with OpenCV, which differ on transparency and on more than 8
bits; the pipeline's ``VolumeRules.pictures`` says which. What a picture cannot say (Hounsfield units, body part, where
the slice lies) is named in a warning.
"""

from __future__ import annotations

import cv2
import numpy as np

from radserve_contract.findings import ImageDescription, Notice
from radserve_contract.spec import PipelineSpec
from radserve_contract.volumes import Pictures
from radserve_preproc.decode_image import grey_picture, open_picture
from radserve_preproc.errors import ConstantImage, CorruptImage
from radserve_preproc.gate import body_part_unknown
from radserve_preproc.image import Grey
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.notices import NoticeCode, notice
from radserve_preproc.sniff import FileKind
from radserve_preproc.study import DecodedImage


def decode_picture(content: bytes, kind: FileKind, spec: PipelineSpec, limits: DecodeLimits) -> DecodedImage:
    """One slice of uint8, ``(1, rows, columns)``, without geometry.

    Raises
    ------
    CorruptImage, ImageTooLarge, ImageTooSmall, MultiFrame, ConstantImage
        As ``decode_image``.
    ValueError
        ``spec`` has no rules for CT.
    """
    if spec.volumes is None:
        raise ValueError(f"{spec.name} reads no CT")
    if spec.volumes.pictures is Pictures.OPENCV:
        grey, changes, notices = _opencv(content, kind, limits)
    else:
        grey, changes, (pixel_notices, file_notices) = grey_picture(content, kind, limits)
        notices = (*pixel_notices, *file_notices)
    rows, columns = grey.shape
    warnings = (*notices, body_part_unknown(spec.name), _no_units(kind))
    return DecodedImage(grey[None], ImageDescription(kind.value, rows, columns, slices=1), warnings, changes)


def _opencv(content: bytes, kind: FileKind, limits: DecodeLimits) -> tuple[Grey, tuple[str, ...], tuple[Notice, ...]]:
    """As ``cv2.imread`` and ``COLOR_BGR2GRAY``: 8 bits, turned as EXIF says, transparency dropped."""
    open_picture(content, kind, limits)  # size and pages, before anything is decoded
    try:
        colours = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise CorruptImage(f"the {kind.value} file cannot be decoded", cause=type(error).__name__) from None
    if colours is None:
        raise CorruptImage(f"the {kind.value} file is cut off or damaged: its pixels cannot be decoded")
    grey = np.asarray(cv2.cvtColor(colours, cv2.COLOR_BGR2GRAY), dtype=np.uint8)
    if grey.min() == grey.max():
        raise ConstantImage(f"every pixel has the grey level {grey.min()}: there is nothing to see")
    lossy = notice(NoticeCode.LOSSY_COMPRESSION, "the picture is a JPEG: it has been compressed with loss")
    return grey, (), (lossy,) if kind is FileKind.JPEG else ()


def _no_units(kind: FileKind) -> Notice:
    return notice(
        NoticeCode.PICTURE_OF_A_SLICE,
        f"a {kind.value} picture says nothing of Hounsfield units and spacing; its grey levels were taken as they are",
    )
