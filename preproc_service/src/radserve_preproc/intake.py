"""An HTTP request in, a ``RawStudy`` out. Streams; what is over the limit is never held, and nothing touches a disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.requests import Request

from radserve_preproc.entry import entry_of
from radserve_preproc.errors import BadRequest, EmptyFile, RadserveError, TooLarge
from radserve_preproc.multipart import FilePart, boundary_of
from radserve_preproc.study import RawStudy
from radserve_preproc.uploads import Holding

ENVELOPE_BYTES = 64 * 1024
"""What a multipart body may have around its file: boundaries, headers, preamble."""
DISCARD_S = 2.0


async def read_study(request: Request, *, limit_bytes: int, holding: Holding) -> RawStudy:
    """The one file of a multipart request.

    Raises
    ------
    BadRequest, NoFile, TooManyFiles, EmptyFile
        The body is not one part called ``file``.
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
    part = FilePart(boundary_of(request.headers.get("content-type")), limit_bytes=limit_bytes)
    if announced is not None:
        _check_size(announced, limit_bytes)
        holding.grow_to(min(announced, limit_bytes))
    received = await _feed(part, request, limit_bytes, holding)
    if received == 0:
        raise EmptyFile("the request has no body; send the file as multipart/form-data, part 'file'")
    return RawStudy(part.finish())


async def _feed(part: FilePart, request: Request, limit_bytes: int, holding: Holding) -> int:
    """Pass the body on to the parser; returns its bytes."""
    received = 0
    entry = entry_of(request)
    entry.unread = True  # stays so when the deadline passes or the client goes
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            try:
                _check_size(received, limit_bytes)
                holding.grow_to(min(received, limit_bytes))
                part.feed(chunk)
            except RadserveError:
                entry.unread = not await _discard(chunks, limit_bytes)
                raise
    entry.unread = False
    return received


def _check_size(body_bytes: int, limit_bytes: int) -> None:
    if body_bytes > limit_bytes + ENVELOPE_BYTES:
        raise TooLarge(f"the file is larger than {limit_bytes} bytes", limit_bytes=limit_bytes)


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
