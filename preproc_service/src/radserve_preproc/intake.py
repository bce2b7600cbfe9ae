"""An HTTP request in, a ``RawStudy`` out. Streams; what is over the limit is never held, and nothing touches a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.requests import Request

from radserve_preproc.entry import entry_of
from radserve_preproc.errors import BadRequest, EmptyFile, RadserveError, TooLarge
from radserve_preproc.multipart import FileParts, boundary_of
from radserve_preproc.study import RawStudy
from radserve_preproc.uploads import Holding

ENVELOPE_BYTES = 64 * 1024
"""What a multipart body may have around its file: boundaries, headers, preamble."""
PART_HEADERS_BYTES = 1024
"""And around each further file."""
DISCARD_S = 2.0


async def read_study(request: Request, *, limit_bytes: int, holding: Holding, max_files: int = 1) -> RawStudy:
    """The file of a multipart request, or the files of a series; ``limit_bytes`` is for all of them together.

    Raises
    ------
    BadRequest, NoFile, TooManyFiles, EmptyFile
        The body is not one part called ``file``, or up to ``max_files`` of them.
    TooLarge
        It is over ``limit_bytes``: at once when Content-Length says so, else as soon as that much has come.
    Busy
        All requests together hold too many bytes (see ``UploadBudget``).
    ClientDisconnect
        The client has gone.
    """
    announced = _content_length(request)
    if announced == 0:
        raise EmptyFile("the request has no body; send the file as multipart/form-data, part 'file'")
    _refuse_encoding(request)
    parts = FileParts(boundary_of(request.headers.get("content-type")), limit_bytes=limit_bytes, max_files=max_files)
    body_limit_bytes = limit_bytes + ENVELOPE_BYTES + (max_files - 1) * PART_HEADERS_BYTES
    if announced is not None:
        _check_size(announced, limit_bytes, body_limit_bytes)
        holding.grow_to(min(announced, limit_bytes))
    received = await _feed(parts, request, limit_bytes, body_limit_bytes, holding)
    if received == 0:
        raise EmptyFile("the request has no body; send the file as multipart/form-data, part 'file'")
    return RawStudy(*_first_and_further(parts.finish()))


def _first_and_further(files: tuple[bytes, ...]) -> tuple[bytes, tuple[bytes, ...]]:
    return files[0], files[1:]


async def _feed(parts: FileParts, request: Request, limit_bytes: int, body_limit_bytes: int, holding: Holding) -> int:
    """Pass the body on to the parser; returns its bytes."""
    received = 0
    entry = entry_of(request)
    entry.unread = True  # stays so when the deadline passes or the client goes
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            try:
                _check_size(received, limit_bytes, body_limit_bytes)
                holding.grow_to(min(received, limit_bytes))
                parts.feed(chunk)
            except RadserveError:
                entry.unread = not await _discard(chunks, limit_bytes)
                raise
    entry.unread = False
    return received


def _check_size(body_bytes: int, limit_bytes: int, body_limit_bytes: int) -> None:
    if body_bytes > body_limit_bytes:
        raise TooLarge(f"the upload is larger than {limit_bytes} bytes", limit_bytes=limit_bytes)


async def _discard(chunks: AsyncIterator[bytes], limit_bytes: int) -> bool:
    """Drop what is left of the body: a client that is still sending when the connection closes may miss its answer.

    Bounded, for a body without announced length need not end; False when this one did not.
    """
    dropped = 0
    try:
        async with asyncio.timeout(DISCARD_S):
            async for chunk in chunks:
                dropped += len(chunk)
                if dropped > limit_bytes:
                    return False
    except TimeoutError:
        return False
    return True


def _content_length(request: Request) -> int | None:
    """The announced length of the body in bytes; None when it comes chunked."""
    text = request.headers.get("content-length")
    if text is None:
        return None if "transfer-encoding" in request.headers else 0
    if not (text.isascii() and text.isdigit()):
        raise BadRequest("Content-Length is not a number")
    return int(text)


def _refuse_encoding(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadRequest("the request body is compressed (Content-Encoding); send it as it is")
