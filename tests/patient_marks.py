"""Files that name a patient wherever a file can, and a search that finds the name again however it is written.

Nobody is behind the marks. ``marks_in`` looks for them in capitals or not, as UTF-8, Latin-1, UTF-16, JSON and URL
escapes, hexadecimal and base64.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Iterator
from functools import cache

import nibabel
import pydicom
from nibabel.nifti1 import Nifti1Extension
from PIL import Image, PngImagePlugin
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from tests.dicom_files import to_bytes

NAME = "Zwolgenheim"
FOREIGN = "Zwölgenheim"
"""With a letter that Latin-1 and UTF-8 write differently."""
PATIENT_ID = "PID-9007199254"
BIRTH_DATE = "18991231"
UIDS = "1.2.826.0.1.3680043.9.90071992"
"""Every UID that says which study it is begins so. The answer itself names them, nothing else may."""
WORDS = (NAME, FOREIGN, PATIENT_ID, BIRTH_DATE, "1899-12-31")
FILE_NAME = f"{NAME}^Wilma {PATIENT_ID} {BIRTH_DATE}.dcm"

TEXT_VRS = {"PN", "LO", "SH", "ST", "LT", "UT", "UC"}
GROUPS = {0x0008, 0x0010, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x4008}
KEPT = {"SpecificCharacterSet"}


@cache
def _marked_keywords() -> dict[str, str]:
    """Every text and date element of one value in the groups that describe patient, study, equipment and image."""
    found = {}
    for tag, (vr, vm, _, retired, keyword) in DicomDictionary.items():
        if Tag(tag).group in GROUPS and vm == "1" and not retired and keyword and keyword not in KEPT:
            if vr in TEXT_VRS:
                found[keyword] = PATIENT_ID if keyword in ("PatientID", "IssuerOfPatientID") else NAME.upper()
            elif vr == "DA":
                found[keyword] = BIRTH_DATE
    return found


def marked_dicom(content: bytes, number: int = 0, *, character_set: str = "ISO_IR 100", **elements: object) -> bytes:
    """The DICOM file with the marks in every text and date, in sequences, private elements, preamble and padding.

    ``elements`` are then set as they are; None takes one away.
    """
    ds = pydicom.dcmread(io.BytesIO(content))
    ds.SpecificCharacterSet = character_set
    for keyword, value in _marked_keywords().items():
        setattr(ds, keyword, value)
    ds.PatientName = f"{NAME}^{FOREIGN}^^Dr."
    ds.PatientComments = f"{NAME} and {FOREIGN}, born {BIRTH_DATE}"
    ds.OtherPatientIDsSequence = [_item(ds, PatientID=PATIENT_ID, IssuerOfPatientID=NAME)]
    ds.RequestAttributesSequence = [_item(ds, RequestedProcedureDescription=FOREIGN, ScheduledProcedureStepID=NAME)]
    private = ds.private_block(0x0011, NAME, create=True)
    private.add_new(0x01, "LO", f"{FOREIGN} {PATIENT_ID}")
    private.add_new(0x02, "OB", f"{NAME}!".encode())
    ds.add_new((0xFFFC, 0xFFFC), "OB", f"{NAME}!".encode())
    ds.preamble = NAME.encode().ljust(128, b"\0")
    ds.file_meta.SourceApplicationEntityTitle = NAME[:16]
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = (f"{UIDS}.{n}" for n in ("1", "2", f"3.{number}"))
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for keyword, value in elements.items():
        setattr(ds, keyword, value) if value is not None else ds.pop(keyword, None)
    if "SOPClassUID" in elements:
        ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    return to_bytes(ds)


def _item(parent: Dataset, **elements: str) -> Dataset:
    item = Dataset()
    item.parent_seq = None
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def marked_nifti(content: bytes) -> bytes:
    """The volume with the marks in every text of the header and in extensions."""
    image = nibabel.Nifti1Image.from_bytes(zlib.decompress(content, wbits=31))
    image.header["descrip"] = f"{NAME} {PATIENT_ID} {BIRTH_DATE}".encode()
    image.header["aux_file"] = NAME.encode()
    image.header["intent_name"] = NAME.encode()
    image.header["db_name"] = NAME[:17].encode()
    image.header.extensions.append(Nifti1Extension("comment", f"{NAME} {FOREIGN}".encode()))
    return image.to_bytes()


def marked_png(rows: int = 320, columns: int = 256) -> bytes:
    """A picture with the marks in its text chunks."""
    words = PngImagePlugin.PngInfo()
    words.add_text("Title", f"{NAME} {PATIENT_ID}")
    words.add_itxt("Comment", FOREIGN)
    file = io.BytesIO()
    Image.linear_gradient("L").resize((columns, rows)).save(file, "PNG", pnginfo=words)
    return file.getvalue()


def _written(word: str) -> Iterator[tuple[str, bytes]]:
    """The ways in which a word can be written down, in lower case, but for base64."""
    lower = word.lower()
    for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
        yield encoding, lower.encode(encoding)
        yield encoding, word.upper().encode(encoding)  # re.I knows ASCII's capitals only
    if not word.isascii():
        yield "latin-1", lower.encode("latin-1")
        yield "latin-1", word.upper().encode("latin-1")
        yield "JSON", lower.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
        yield "Python", lower.encode("ascii", "backslashreplace")
        yield "Python", _escaped(lower, "\\x")
        yield "URL", _escaped(lower, "%")
    for text in {word, lower, word.upper()}:
        yield "hexadecimal", text.encode().hex().encode()


def _escaped(text: str, sign: str) -> bytes:
    """Every byte of a letter that is not ASCII as its number in hexadecimal."""
    letters = (c if c.isascii() else "".join(f"{sign}{byte:02x}" for byte in c.encode()) for c in text)
    return "".join(letters).encode()


def _in_base64(word: str) -> Iterator[bytes]:
    """What of the word's base64 does not depend on what stands around it, at each of its three alignments."""
    for text in {word, word.upper(), word.lower()}:
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + text.encode() + b"\0" * 3)
            whole = -(-before * 4 // 3)
            yield encoded[whole + (1 if before else 0) : (before + len(text.encode())) * 4 // 3]


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[bytes]], ...]:
    patterns = []
    for word in (*WORDS, UIDS):
        for how, content in _written(word):
            # a date is eight digits: not a part of a longer number
            edges = (rb"(?<![0-9.])", rb"(?![0-9])") if word.isdigit() and how == "utf-8" else (b"", b"")
            patterns.append((f"{word} as {how}", re.compile(edges[0] + re.escape(content) + edges[1], re.I)))
        patterns += [(f"{word} as base64", re.compile(re.escape(content))) for content in _in_base64(word)]
    return tuple(patterns)


def marks_in(content: bytes | str, *, uids: bool = False) -> list[str]:
    """Every mark found in ``content``, and how it was written. With ``uids`` they are not looked for."""
    raw = content.encode() if isinstance(content, str) else content
    return [name for name, pattern in _patterns() if not (uids and name.startswith(UIDS)) and pattern.search(raw)]


def places_of(content: bytes) -> list[str]:
    """The elements of a DICOM file that carry a mark: a test of the marking itself."""
    ds = pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True)
    return [keyword_for_tag(item.tag) for item in ds if marks_in(str(item.value))]
