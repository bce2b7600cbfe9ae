"""An item in, its bytes out: from files, URLs or a DICOMweb server. Stateless, for threads and processes alike."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path

from radserve_client.score.item import DicomwebPart, FilePart, Item, Part, UnreadablePart, UrlPart
from radserve_client.score.sources.access import Access, access_from
from radserve_client.score.sources.files import UNSUPPORTED_FILE, fault_of
from radserve_client.score.sources.fingerprints import BY_URL, of_files, of_instances
from radserve_client.score.sources.http import TOO_LARGE, ArchiveFault, close_connections, fetch, limited
from radserve_client.score.sources.qido import SOP_UID, search, uid_of
from radserve_client.score.sources.wado import retrieve

__all__ = ["Access", "UnreadableItem", "access_from", "close_connections", "read_parts"]

FILE_CHANGED = "FILE_CHANGED"


class UnreadableItem(Exception):
    """An item cannot be read. The message has no path, no URL and no identifier; ``code`` is stable.

    ``transient``: another run may well read it.
    """

    def __init__(self, code: str, message: str, transient: bool) -> None:
        super().__init__(code, message, transient)
        self.code = code
        self.message = message
        self.transient = transient

    def __str__(self) -> str:
        return self.message


def read_parts(item: Item, access: Access) -> tuple[bytes, ...]:
    """The contents of an item's parts, in an order that is always the same.

    Raises
    ------
    UnreadableItem
        Something is not there, not readable, too large, or another than it was when it was listed.
    """
    files = [part for part in item.parts if isinstance(part, FilePart)]
    if len(files) == len(item.parts) and files:
        return _read_files(item, [part.path for part in files], access)
    try:
        return tuple(content for part in item.parts for content in _read(part, item, access))
    except ArchiveFault as fault:
        raise UnreadableItem(fault.code, fault.message, fault.transient) from None


def _read(part: Part, item: Item, access: Access) -> list[bytes]:
    match part:
        case UnreadablePart(code, message, transient):
            raise UnreadableItem(code, message, transient)
        case UrlPart(url):
            return [fetch(url, access, partial(limited, limit_bytes=access.limit_bytes), accept="*/*")]
        case DicomwebPart(url):
            return retrieve(url, access, item.fingerprint if item.fingerprint != BY_URL else _listed(url, access))
        case FilePart(path):
            return list(_read_files(item, [path], access))


def _listed(series_url: str, access: Access) -> str:
    """The fingerprint of a series that nobody has asked the server about yet: a manifest named its URL."""
    found = search(f"{series_url}/instances", {}, SOP_UID, access)
    return of_instances(uid_of(match, SOP_UID) for match in found)


def _read_files(item: Item, paths: list[str], access: Access) -> tuple[bytes, ...]:
    stats: list[os.stat_result] = []
    contents: list[bytes] = []
    left = access.limit_bytes
    for path in paths:
        try:
            found, content = _read_file(path, left)
        except (OSError, ValueError) as error:
            fault = fault_of(error, of="the file" if len(paths) == 1 else "one of its files")
            # it was there when it was listed: a drive that went away
            raise UnreadableItem(fault.code, fault.message, fault.transient or fault.code == "FILE_NOT_FOUND") from None
        stats.append(found)
        contents.append(content)
        left -= len(content)
    if of_files(paths, stats) != item.fingerprint:
        raise UnreadableItem(FILE_CHANGED, "size or time of a file changed after it was listed", True)
    return tuple(contents)


def _read_file(path: str, limit_bytes: int) -> tuple[os.stat_result, bytes]:
    with Path(path).open("rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableItem(UNSUPPORTED_FILE, "no file any more", True)
        if found.st_size > limit_bytes:
            message = f"more bytes than the limit of one item leaves, {limit_bytes} (RADSERVE_CLIENT_ITEM_LIMIT_BYTES)"
            raise UnreadableItem(TOO_LARGE, message, False)
        return found, file.read()
