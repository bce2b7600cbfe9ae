"""Bytes of a zip in, the bytes of each file in it out: in memory, without names, within limits.

Nothing is written to disk and no name of the archive is used for anything. Needed is the archive, up to 64 MiB of its
deflated files and, of those beyond, the one that is being checked: they stay in the archive, as stored files do.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from radserve_preproc.errors import BadArchive, TooLarge
from radserve_preproc.packed_file import Content, PackedFile
from radserve_preproc.volume.zip_entries import Entry, read_entries

_PIECE = 256 * 1024
_KEPT = 64 * 2**20
"""So many inflated bytes are kept: inflating twice takes time, and a small study little memory."""
_LARGEST_LEFT = 4 * 2**20
"""A file of many frames would be inflated for each of them; one slice is smaller than that."""
_RATIO_FLOOR = 64 * 2**20
"""Below this a high ratio is no bomb: blank slices deflate to a thousandth."""
_TAR_MAGIC_AT = 257
_HEAD = 512  # bytes; every beginning that is looked for lies within
# What an archive in the archive begins with. A gzip file is none by itself: NIfTI volumes are mostly gzipped.
_ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x07\x08",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"\x28\xb5\x2f\xfd",  # zstd
)
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What unpacking may take; the sizes are of inflated bytes.

    ``max_ratio`` is how many times its own size the archive may inflate to, once that is over 64 MiB.
    """

    max_entries: int = 5000
    max_entry_bytes: int = 2**30
    max_total_bytes: int = 2**30
    max_ratio: float = 100.0


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The files of an archive in its order, and how many entries were skipped: folders, hidden files, system junk.

    Stored ones are views of the archive; of the deflated ones small ones beyond the first 64 MiB stay so.
    """

    files: tuple[Content, ...] = field(repr=False)
    skipped: int


def unpacked(content: bytes, limits: ArchiveLimits) -> Unpacked:
    """The files of the zip ``content``.

    Raises
    ------
    TooLarge
        Over one of ``limits``, counted while inflating.
    BadArchive
        No zip, damaged, encrypted, nested, links, unsafe or repeated names, overlapping entries, no file in it.
    """
    entries, skipped = read_entries(content, max_entries=limits.max_entries)
    if not entries:
        raise BadArchive("the archive has no file in it")
    files: list[Content] = []
    keep = _KEPT
    room = _room(content, limits)
    for entry in entries:
        file = _file(content, entry, room, limits)
        room -= len(file)
        keep -= len(file) if isinstance(file, bytes) else 0
        is_left = isinstance(file, bytes) and keep < 0 and len(file) <= _LARGEST_LEFT
        files.append(_left_packed(content, entry) if is_left else file)
    return Unpacked(tuple(files), skipped)


def _room(content: bytes, limits: ArchiveLimits) -> int:
    """How many bytes all entries together may have."""
    return min(limits.max_total_bytes, max(int(len(content) * limits.max_ratio), _RATIO_FLOOR))


def _file(content: bytes, entry: Entry, room: int, limits: ArchiveLimits) -> bytes | memoryview:
    """The checked bytes of one entry."""
    allowed = min(room, limits.max_entry_bytes)
    if entry.size > allowed:
        raise _too_large(entry, limits)
    is_stored = entry.method == zipfile.ZIP_STORED
    data = _stored(content, entry) if is_stored else _inflated(content, entry, allowed, limits)
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise BadArchive(f"entry {entry.number} of the archive is damaged: its checksum or size is wrong")
    if _is_archive(data):
        raise BadArchive(
            f"entry {entry.number} of the archive is an archive itself; unpack it and send the study in one"
        )
    return data


def _too_large(entry: Entry, limits: ArchiveLimits) -> TooLarge:
    return TooLarge(
        f"entry {entry.number} takes the archive over a limit: {limits.max_entry_bytes} bytes for one file,"
        f" {limits.max_total_bytes} for all, {limits.max_ratio:g} times the archive's own size",
        max_entry_bytes=limits.max_entry_bytes,
        max_total_bytes=limits.max_total_bytes,
        max_ratio=limits.max_ratio,
    )


def _stored(content: bytes, entry: Entry) -> memoryview:
    return memoryview(content)[entry.start : entry.end]


def _inflated(content: bytes, entry: Entry, allowed: int, limits: ArchiveLimits) -> bytes:
    """Inflate piece by piece, never more than one piece beyond ``allowed``."""
    # BytesIO grows in place and hands its buffer over: no second copy, unlike joining pieces.
    file = io.BytesIO()
    for piece in _pieces(content, entry):
        if file.tell() + len(piece) > allowed:
            raise _too_large(entry, limits)
        file.write(piece)
    return file.getvalue()


def _pieces(content: bytes, entry: Entry) -> Iterator[bytes]:
    """The inflated entry in pieces of at most 256 KiB."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    packed = memoryview(content)
    try:
        for start in range(entry.start, entry.end, _PIECE):
            yield inflate.decompress(packed[start : min(start + _PIECE, entry.end)], _PIECE)
            while inflate.unconsumed_tail:
                yield inflate.decompress(inflate.unconsumed_tail, _PIECE)
        while piece := inflate.decompress(b"", _PIECE):
            yield piece
    except zlib.error:
        raise BadArchive(f"entry {entry.number} of the archive is damaged: it cannot be inflated") from None
    if not inflate.eof or inflate.unused_data:
        raise BadArchive(f"entry {entry.number} of the archive is damaged: its data end in the wrong place")


def _left_packed(content: bytes, entry: Entry) -> PackedFile:
    """A deflated entry that was checked, to be inflated again when it is needed."""
    return PackedFile(memoryview(content)[entry.start : entry.end], entry.size)


def _is_archive(data: bytes | memoryview) -> bool:
    """Whether a file of the archive is an archive of a kind we know. DICOM comes first: its preamble is free text."""
    if data[128:132] == b"DICM":
        return False
    inside = _first_inflated(data) if data[:2] == _GZIP else bytes(data[:_HEAD])
    return inside.startswith(_ARCHIVES) or inside[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar"


def _first_inflated(data: bytes | memoryview) -> bytes:
    """The first bytes in a gzip file; none of a damaged one, which a decoder refuses later."""
    try:
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(memoryview(data)[:_PIECE], _HEAD)
    except zlib.error:
        return b""
