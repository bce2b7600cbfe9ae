"""A folder in, an item per Series Instance UID out. Needs ``radserve-client[local]``: only headers tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from hashlib import blake2b

from radserve_client.score.errors import MissingExtra
from radserve_client.score.item import Item, UnreadablePart
from radserve_client.score.sources.files import item_of_fault, item_of_file, item_of_files
from radserve_client.score.sources.looks import looks_like_dicom
from radserve_client.score.sources.walk import Folder

SERIES_SPLIT = "SERIES_SPLIT"
_HEAD_BYTES = 64 * 1024  # pixel data begin within, as a rule


class SeriesGrouping:
    """Groups the files of one folder at a time. What it remembers are 8 bytes for each series."""

    def __init__(self) -> None:
        self._series_uid = _header_reader()
        self._met: set[bytes] = set()

    def __call__(self, folder: Folder) -> Iterator[Item]:
        """The series of a folder in the order of their first files, then every other file by itself."""
        series: defaultdict[str, list[str]] = defaultdict(list)
        others: list[str] = []
        for name in folder.files:
            path = folder.file(name)
            uid = self._uid(path)
            (series[uid] if uid else others).append(path)
        for uid, paths in series.items():
            yield self._item(folder.path, uid, paths)
        for path in others:
            yield item_of_file(path)

    def _uid(self, path: str) -> str:
        """Empty for a file that is no DICOM, cannot be read, or names no series: it is an item, and says why."""
        try:
            return self._series_uid(path) if looks_like_dicom(path) else ""
        except OSError:
            return ""

    def _item(self, folder: str, uid: str, paths: list[str]) -> Item:
        source = f"{folder}#{uid}"
        digest = blake2b(uid.encode(errors="replace"), digest_size=8).digest()
        if digest in self._met:
            message = "another folder has files of the same series; put all of a series into one folder"
            return item_of_fault(source, UnreadablePart(SERIES_SPLIT, message))
        self._met.add(digest)
        return item_of_files(source, paths)


def _header_reader() -> Callable[[str], str]:
    """A path in, the Series Instance UID out, empty where there is none; imports the decoders."""
    try:
        from radserve_preproc.dicom_header import short_text
        from radserve_preproc.errors import RadserveError
        from radserve_preproc.limits import DecodeLimits
        from radserve_preproc.read_dicom import read_dicom_header
    except ImportError as error:
        raise MissingExtra(
            f"--group-by series reads DICOM headers: pip install 'radserve-client[local]' ({error.name} is missing)"
        ) from None
    most = DecodeLimits().max_inflated_bytes

    def uid_in(content: bytes) -> str | None:
        """None where ``content`` ends too early to tell, or is no DICOM."""
        try:
            file, place = read_dicom_header(content, max_inflated_bytes=most)
        except RadserveError:
            return None
        return short_text(file.ds, "SeriesInstanceUID") or (None if place is None else "")

    def series_uid(path: str) -> str:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            found = uid_in(head)
            return (found if found is not None else uid_in(head + file.read())) or ""

    return series_uid
