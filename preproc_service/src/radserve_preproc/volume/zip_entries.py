"""Bytes of a zip in, its checked table of contents out: which entries there are, and where each one's data lie.

Nothing is inflated here and nothing is written anywhere. Names are looked at to refuse or skip an entry, then dropped:
no name reaches a result, a message or a log.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

from radserve_preproc.errors import BadArchive, TooLarge

_CENTRAL_SIGNATURE = b"PK\x01\x02"
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # signature ... length of the name, length of the extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, masked headers (APPNOTE 4.4.4)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PLAIN_TYPES = (0, stat.S_IFREG, stat.S_IFDIR)  # what a Unix zipper says of an entry; 0 where it says nothing
_JUNK_FILES = frozenset({"thumbs.db", "desktop.ini"})
_JUNK_FOLDERS = frozenset({"__macosx"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a zip: its header begins at ``header``, its data lie at ``start`` to ``end``, packed by ``method``.

    ``number`` counts from 1 in the archive's order, for messages. ``size`` and ``crc`` are what the table of contents
    claims of the inflated bytes.
    """

    number: int
    header: int
    start: int
    end: int
    method: int
    size: int
    crc: int


def read_entries(content: bytes, *, max_entries: int) -> tuple[list[Entry], int]:
    """The files of the zip, in its order, and how many entries were skipped as folders, hidden or system junk.

    Raises
    ------
    TooLarge
        More than ``max_entries`` entries.
    BadArchive
        No zip, damaged, encrypted, an unknown packing method, unsafe or repeated names, links, overlapping entries.
    """
    infos, contents_start = _table_of_contents(content, max_entries)
    places = [_Place(number, info) for number, info in enumerate(infos, 1)]
    _refuse_repeated_names(places)
    for place in places:
        _check(place)
    entries = [_locate(content, place) for place in places]
    _refuse_overlaps(entries, contents_start)
    wanted = [entry for entry, place in zip(entries, places, strict=True) if not place.is_skipped]
    return wanted, len(entries) - len(wanted)


class _Place:
    """An entry of the table of contents and the parts of its name, split as Windows would: at slashes of both kinds."""

    def __init__(self, number: int, info: zipfile.ZipInfo) -> None:
        self.number, self.info = number, info
        self.parts = tuple(part for part in info.orig_filename.replace("\\", "/").split("/") if part not in ("", "."))

    @property
    def is_folder(self) -> bool:
        """Whether its name says so."""
        return self.info.orig_filename.endswith(("/", "\\"))

    @property
    def is_skipped(self) -> bool:
        """Whether it is a folder, hidden (.DS_Store, ._IM0001), or only an operating system has a use for it."""
        folded = [part.casefold() for part in self.parts]
        is_junk = not _JUNK_FOLDERS.isdisjoint(folded) or any(part.startswith(".") for part in folded)
        return self.is_folder or is_junk or folded[-1] in _JUNK_FILES


def _table_of_contents(content: bytes, max_entries: int) -> tuple[list[zipfile.ZipInfo], int]:
    """The entries, and where the table of contents begins, which is where their data end at the latest."""
    # Counted before anything is built of them: the count in the archive's end record is only a claim.
    if content.count(_CENTRAL_SIGNATURE) > max_entries:
        raise TooLarge(f"the archive has more than {max_entries} entries; send a study, not a whole archive")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, EOFError, OSError):
        raise BadArchive("the archive is damaged or incomplete: its table of contents cannot be read") from None


def _check(place: _Place) -> None:
    info, what = place.info, f"entry {place.number} of the archive"
    if info.flag_bits & _ENCRYPTED:
        raise BadArchive(f"{what} is encrypted; send the study without a password")
    if "\x00" in info.orig_filename or not (place.parts or place.is_folder):
        raise BadArchive(f"{what} has no usable name")
    if info.orig_filename.startswith(("/", "\\")) or PureWindowsPath(info.orig_filename).drive:
        raise BadArchive(f"{what} has an absolute name; it would land outside any folder it is unpacked to")
    if ".." in place.parts:
        raise BadArchive(f"{what} has a name that leads out of the archive's folder")
    if stat.S_IFMT(info.external_attr >> 16) not in _PLAIN_TYPES:
        raise BadArchive(f"{what} is a link or a device, not a file")
    if info.compress_type not in _METHODS:
        raise BadArchive(f"{what} is packed by a method that is not read here; use the usual one (deflate)")


def _refuse_repeated_names(places: Sequence[_Place]) -> None:
    """Two entries of one name: tools disagree on which of them counts."""
    if len({place.parts for place in places}) < len(places):
        raise BadArchive("the archive has several entries of one name; pack the study anew")


def _locate(content: bytes, place: _Place) -> Entry:
    """Where the data of an entry lie; its local header has a name and extra field of its own."""
    info = place.info
    header = content[info.header_offset : info.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size or header[:4] != _LOCAL_SIGNATURE:
        raise BadArchive(f"entry {place.number} of the archive is damaged: it is not where the contents say")
    *_, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    start = info.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    end = start + info.compress_size  # whether that is within the archive, the check of overlaps says
    return Entry(place.number, info.header_offset, start, end, info.compress_type, info.file_size, info.CRC)


def _refuse_overlaps(entries: Sequence[Entry], contents_start: int) -> None:
    """Two entries that share bytes: a small archive that inflates to a huge one, or tools that see different files."""
    ordered = sorted(entries, key=lambda entry: entry.header)
    next_starts = [*(entry.header for entry in ordered), contents_start][1:]
    if any(entry.end > start for entry, start in zip(ordered, next_starts, strict=True)):
        raise BadArchive("entries of the archive overlap; pack the study anew with an ordinary program")
