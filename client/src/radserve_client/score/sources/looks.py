"""The name of a file in, what it probably is out; the first bytes are looked at only where the name says nothing."""

from __future__ import annotations

import os
import stat
from enum import Enum
from pathlib import PurePath

_HEAD = 132


class Look(Enum):
    """What a file looks like from outside. The service looks at the content and has the last word."""

    DICOM = "DICOM"
    WHOLE = "a file that is an item by itself"
    FOREIGN = "nothing that any pipeline reads"


_DICOM = frozenset({".dcm", ".dicom", ".dic", ".ima"})
_WHOLE = frozenset({".nii", ".gz", ".zip", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
_FOREIGN = frozenset(
    """
    .csv .tsv .txt .md .rst .json .jsonl .ndjson .xml .yaml .yml .toml .ini .cfg .inf .log .htm .html .css .js .pdf
    .doc .docx .xls .xlsx .ppt .pptx .odt .rtf .py .ipynb .sh .bat .exe .dll .so .jar .parquet .feather .sqlite .db
    .npy .npz .h5 .hdf5 .pt .pth .ckpt .onnx .pkl .mat .md5 .sha1 .sha256 .bak .tmp .part .swp .lock
    """.split()
)
_FOREIGN_NAMES = frozenset({"dicomdir", "readme", "license", "licence", "copying", "changelog", "makefile"})
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
_LONGEST_FIRST_VALUE = 1024


def look_by_name(name: str) -> Look | None:
    """What the name says; None where it says nothing, as of ``IM000123`` or ``1.2.840.113619``."""
    extension = PurePath(name).suffix.casefold()
    if name.casefold() in _FOREIGN_NAMES or extension in _FOREIGN:
        return Look.FOREIGN
    if extension in _DICOM:
        return Look.DICOM
    return Look.WHOLE if extension in _WHOLE else None


def is_dicomdir(name: str) -> bool:
    """Whether the file is the directory of a DICOM medium (PS3.10 8.6)."""
    return name.casefold() == "dicomdir"


def looks_like_dicom(path: str) -> bool:
    """Whether the file is DICOM by its name, or else by its first bytes.

    Raises
    ------
    OSError
        It cannot be opened or read.
    """
    look = look_by_name(os.path.basename(path))
    if look is not None:
        return look is Look.DICOM
    if not stat.S_ISREG(os.stat(path).st_mode):
        return False  # opening a pipe would wait for whoever writes into it
    with open(path, "rb") as file:
        return _begins_as_dicom(file.read(_HEAD))


def _begins_as_dicom(head: bytes) -> bool:
    """The preamble's mark (PS3.10 7.1), or an element of group 0002 or 0008 first, as without preamble."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 16 or head[:2] not in _FIRST_GROUPS:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    short = head[:2] != b"\x00\x08" and int.from_bytes(head[4:8], "little") <= _LONGEST_FIRST_VALUE
    return explicit or short
