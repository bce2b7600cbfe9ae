"""A multipart/related answer in (RFC 2046, PS3.18 8.6), the contents of its parts out."""

from __future__ import annotations

import httpx
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from radserve_client.score.sources.http import ARCHIVE_TRUNCATED, ArchiveFault, bad_answer, too_large

DICOM = "application/dicom"
_CHUNK_BYTES = 1024**2


def dicom_parts(response: httpx.Response, limit_bytes: int) -> list[bytes]:
    """The DICOM files of an answer, in its order.

    Raises
    ------
    ArchiveFault
        The answer is no multipart of DICOM files, has more than ``limit_bytes``, or ends before its last boundary.
    """
    kind, options = parse_options_header(response.headers.get("Content-Type", ""))
    if kind.decode("latin-1").lower() == DICOM:  # what some servers answer for a single instance
        return [_all(response, limit_bytes)]
    boundary = options.get(b"boundary")
    if kind.lower() != b"multipart/related" or not boundary:
        raise bad_answer(f"{_shown(kind)} was answered; wanted multipart/related with a boundary")
    parts = _Parts(limit_bytes)
    parser = parts.parser(boundary)
    try:
        for chunk in response.iter_bytes(_CHUNK_BYTES):
            parser.write(chunk)
    except FormParserError:
        raise bad_answer("the multipart answer cannot be parsed") from None
    if not parts.ended:
        message = "the multipart answer ends before its last boundary"
        raise ArchiveFault(ARCHIVE_TRUNCATED, message, transient=True, again=True)
    return [bytes(content) for content in parts.contents]


class _Parts:
    """Collects what the parser finds."""

    def __init__(self, limit_bytes: int) -> None:
        self.contents: list[bytearray] = []
        self.ended = False
        self._left = limit_bytes
        self._limit = limit_bytes

    def parser(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {"on_part_begin": self._begin, "on_part_data": self._data, "on_end": self._end},
            )
        except FormParserError:
            raise bad_answer("the multipart answer has a boundary that cannot be") from None

    def _begin(self) -> None:
        self.contents.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._left -= end - start
        if self._left < 0:
            raise too_large(self._limit)
        self.contents[-1] += memoryview(data)[start:end]

    def _end(self) -> None:
        self.ended = True


def _all(response: httpx.Response, limit_bytes: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(body)


def _shown(kind: bytes) -> str:
    """A content type as a message may have it: a server may send anything."""
    text = kind.decode("latin-1")
    return text if 0 < len(text) <= 60 and text.isascii() and text.isprintable() else "no content type"
