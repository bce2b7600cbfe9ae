"""A DICOM file in, the SOP Instance UID of its file meta information out; no imaging library is needed for that."""

from __future__ import annotations

import struct

_LONG_LENGTHS = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV"})
_MEDIA_STORAGE_SOP_INSTANCE_UID = (0x0002, 0x0003)


def sop_instance_uid(content: bytes) -> str | None:
    """Media Storage SOP Instance UID (0002,0003); None when ``content`` is no DICOM file with one (PS3.10 7.1).

    Group 0002 is explicit VR little endian in every file.
    """
    if content[128:132] != b"DICM":
        return None
    position = 132
    while position + 12 <= len(content):
        group, element, vr = struct.unpack_from("<HH2s", content, position)
        if group != _MEDIA_STORAGE_SOP_INSTANCE_UID[0]:
            return None
        is_long = vr in _LONG_LENGTHS
        length = struct.unpack_from("<I" if is_long else "<H", content, position + (8 if is_long else 6))[0]
        value = position + (12 if is_long else 8)
        if (group, element) == _MEDIA_STORAGE_SOP_INSTANCE_UID:
            return content[value : value + length].rstrip(b"\0 ").decode("ascii", errors="replace")
        position = value + length
    return None
