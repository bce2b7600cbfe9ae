"""The first bytes of an upload in, the kind of file out. Content decides; names and content types are never asked."""

from __future__ import annotations

import codecs
from enum import Enum

from pydicom.values import converters

from radserve_contract.spec import Accepts

_VALUE_REPRESENTATIONS = frozenset(vr.encode() for vr in converters)

# Longest first group of a headless data set that is believed: (0008,0005) and its neighbours are short texts.
_LONGEST_FIRST_VALUE = 1024

# What can follow a BMP's file header; "BM" alone also begins plain texts.
_BITMAP_HEADER_LENGTHS = frozenset(length.to_bytes(4, "little") for length in (12, 40, 52, 56, 64, 108, 124))

# (offset, magic, what to call it) of what people send by mistake. Order matters: the first that fits is said.
_FOREIGN = (
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive (or an Office document)"),
    (0, b"\x1f\x8b", "a gzip file"),
    (344, b"n+1\x00", "a NIfTI file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyphei", "an HEIC picture"),
    (4, b"ftypmif1", "an HEIF picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyp", "a video"),
    (4, b"jP  ", "a JPEG 2000 file outside DICOM"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 codestream outside DICOM"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ", "a Windows program"),
    (4, b"Bud1", "a macOS folder file (.DS_Store)"),
    (0, b"{\\rtf", "an RTF document"),
)


class FileKind(Enum):
    """Kinds of file that a decoder exists for."""

    DICOM = "DICOM"
    DICOM_WITHOUT_PREAMBLE = "DICOM without preamble"
    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    BMP = "BMP"
    ZIP = "a zip archive (or an Office document)"
    NIFTI = "a NIfTI file"
    GZIP = "a gzip file"

    @property
    def is_dicom(self) -> bool:
        """Whether it is a DICOM file or data set."""
        return self in (FileKind.DICOM, FileKind.DICOM_WITHOUT_PREAMBLE)

    @property
    def accepted_as(self) -> frozenset[Accepts]:
        """What a pipeline has to accept, one of them at least, to read it."""
        if self.is_dicom:
            return frozenset({Accepts.DICOM_RADIOGRAPH, Accepts.CT_SLICE, Accepts.CT_SERIES})
        if self is FileKind.ZIP:
            return frozenset({Accepts.CT_SERIES})
        return frozenset({Accepts.NIFTI if self in (FileKind.NIFTI, FileKind.GZIP) else Accepts.RASTER})


def sniff(content: bytes) -> FileKind | None:
    """The kind of file that ``content`` is, or None for anything that no decoder here reads.

    DICOM comes first: its 128-byte preamble may hold a TIFF header of a file that is both (PS3.10 7.1).
    """
    if content[128:132] == b"DICM":
        return FileKind.DICOM
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return FileKind.PNG
    if content.startswith(b"\xff\xd8\xff"):
        return FileKind.JPEG
    if content.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return FileKind.TIFF
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return FileKind.ZIP
    if content.startswith(b"\x1f\x8b"):
        return FileKind.GZIP
    if content[344:348] == b"n+1\x00" or content[4:8] in (b"n+2\x00", b"ni2\x00"):
        return FileKind.NIFTI
    if content.startswith(b"BM") and content[14:18] in _BITMAP_HEADER_LENGTHS:
        return FileKind.BMP
    return FileKind.DICOM_WITHOUT_PREAMBLE if _begins_with_an_element(content) else None


def _begins_with_an_element(content: bytes) -> bool:
    """Whether an element of group 0002 or 0008 comes first, as in a data set without preamble (PS3.5 7.1)."""
    if len(content) < 16 or content[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    if content[4:6] in _VALUE_REPRESENTATIONS:
        return True
    return content[:2] != b"\x00\x08" and int.from_bytes(content[4:8], "little") <= _LONGEST_FIRST_VALUE


def look_like(content: bytes) -> str:
    """What ``content`` looks like, for the message of a refusal: "a PDF document"."""
    for offset, magic, name in _FOREIGN:
        if content[offset : offset + len(magic)] == magic:
            return name
    return _text_or_data(content)


def _text_or_data(content: bytes) -> str:
    try:
        # Not final: the cut may go through a character.
        head = codecs.getincrementaldecoder("utf-8")().decode(content[:512], final=False)
    except UnicodeDecodeError:
        return "data of no known kind"
    text = head.lstrip("\ufeff \r\n\t").lower()
    if not text or "\x00" in text:
        return "data of no known kind"
    if text.startswith(("<!doctype html", "<html")):
        return "an HTML page"
    if text.startswith("<"):
        return "an XML document"
    return "JSON" if text.startswith(("{", "[")) else "plain text"
