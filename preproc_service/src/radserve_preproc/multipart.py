"""Chunks of a multipart/form-data body in, the contents of its ``file`` parts out (RFC 7578): one, or a series.

Only the bytes of these parts are kept, in memory. The client's file names are not: they are parsed over and dropped.
Anything but parts called ``file`` is refused: what would be ignored was meant to matter to somebody.
"""

from __future__ import annotations

import io

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from radserve_preproc.errors import BadRequest, EmptyFile, NoFile, TooLarge, TooManyFiles

FIELD = b"file"
PLAIN_ENCODINGS = (b"", b"binary", b"8bit", b"7bit")


def boundary_of(content_type: str | None) -> bytes:
    """The boundary of a multipart/form-data content type.

    Raises
    ------
    BadRequest
        It is another content type, or has no boundary.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise BadRequest("the request's Content-Type must be multipart/form-data with one part called 'file'")
    if not options.get(b"boundary"):
        raise BadRequest("the Content-Type multipart/form-data has no boundary; let the HTTP library write that header")
    return options[b"boundary"]


class FileParts:
    """A parser that is fed the body. ``limit_bytes`` is for all files together; at most ``max_files`` of them."""

    def __init__(self, boundary: bytes, *, limit_bytes: int, max_files: int = 1) -> None:
        self._limit_bytes = limit_bytes
        self._max_files = max_files
        self._contents: list[io.BytesIO] = []
        self._kept_bytes = 0
        self._others = 0
        self._ended = False
        self._header = (b"", b"")
        self._headers: dict[bytes, bytes] = {}
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_begin": self._begin_header,
                    "on_header_field": self._name,
                    "on_header_value": self._value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._check_part,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BadRequest("the boundary of the multipart body is longer than RFC 2046 allows") from error

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises
        ------
        BadRequest, TooManyFiles
            Not what was asked for.
        TooLarge
            The file is over the limit.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest("the body is not well-formed multipart/form-data") from error

    def finish(self) -> tuple[bytes, ...]:
        """The content of each file, once the body is over.

        Raises
        ------
        BadRequest
            The body was cut off.
        NoFile, EmptyFile
            Nothing was in it, or in one of the files.
        """
        if not self._ended:
            raise BadRequest("the multipart body ends before its closing boundary; was the upload cut off?")
        if not self._contents:
            raise NoFile("the multipart body has no part called 'file'")
        contents = tuple(content.getvalue() for content in self._contents)  # shares the buffers: no second copy
        if not all(contents):
            raise EmptyFile("the part 'file' has no bytes")
        return contents

    def _begin(self) -> None:
        self._headers = {}

    def _begin_header(self) -> None:
        self._header = (b"", b"")

    def _name(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name + data[start:end], value)

    def _value(self, data: bytes, start: int, end: int) -> None:
        name, value = self._header
        self._header = (name, value + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value

    def _check_part(self) -> None:
        """Decide by the part's headers whether its data are wanted."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if options.get(b"name") != FIELD:
            self._others += 1
        elif self._headers.get(b"content-transfer-encoding", b"").lower() not in PLAIN_ENCODINGS:
            raise BadRequest(
                "the part 'file' has a Content-Transfer-Encoding; send its bytes as they are (RFC 7578 4.7)"
            )
        else:
            self._contents.append(io.BytesIO())
        if len(self._contents) > self._max_files:
            raise TooManyFiles(_too_many(self._max_files), max_files=self._max_files)
        if self._contents and self._others:
            raise BadRequest("the multipart body has a part that is not called 'file'; only those are read")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._contents:
            return  # of another part, which may yet be followed by the file: then it is refused
        self._kept_bytes += end - start
        if self._kept_bytes > self._limit_bytes:
            raise TooLarge(f"the upload is larger than {self._limit_bytes} bytes", limit_bytes=self._limit_bytes)
        self._contents[-1].write(memoryview(data)[start:end])

    def _end(self) -> None:
        self._ended = True


def _too_many(max_files: int) -> str:
    if max_files == 1:
        return "the multipart body has more than one part called 'file'; this pipeline reads one image"
    return f"the multipart body has more than {max_files} files; send one series, or a zip of it"
