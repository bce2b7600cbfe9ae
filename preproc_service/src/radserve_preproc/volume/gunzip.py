"""A gzip file in, no more of its content out than was asked for."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

from radserve_preproc.errors import CorruptNifti

_PIECE = 256 * 1024
_GZIP = b"\x1f\x8b"
_TRAILING_LIMIT = 64 * 2**20
_MOST_MEMBERS = 50_000
"""Block-wise gzip makes members of 64 KiB; 20-byte ones would keep a core busy for minutes, for nothing."""


def gunzip(content: bytes, size: int, *, to_the_end: bool) -> memoryview:
    """The first ``size`` inflated bytes, or all where there are fewer; writable.

    With ``to_the_end`` the rest is inflated too and thrown away, because the checksum stands at the end.

    Raises
    ------
    CorruptNifti
        Damaged or cut off before ``size`` (``to_the_end``: anywhere), or 64 MiB and more after it.
    """
    # BytesIO grows in place and lends its buffer: no second copy.
    file, trailing = io.BytesIO(), 0
    for piece in _pieces(content):
        kept = piece[: size - file.tell()]
        file.write(kept)
        if file.tell() == size and not to_the_end:
            break
        trailing += len(piece) - len(kept)
        if trailing > _TRAILING_LIMIT:
            raise CorruptNifti("the gzip file goes on for over 64 MiB after the volume that its header describes")
    return file.getbuffer()


def _pieces(content: bytes) -> Iterator[memoryview]:
    """The inflated file in pieces of at most 256 KiB; several gzip members are one file (RFC 1952 2.2)."""
    packed, start, members = memoryview(content), 0, 0
    while packed[start : start + 2] == _GZIP:
        members += 1
        if members > _MOST_MEMBERS:
            raise CorruptNifti(f"the gzip file has more than {_MOST_MEMBERS} members")
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            while not inflate.eof:
                # What did not fit into the last piece comes first; it is short, because the input is.
                piece = inflate.unconsumed_tail or packed[start : start + _PIECE]
                start += 0 if inflate.unconsumed_tail else len(piece)
                inflated = inflate.decompress(piece, _PIECE)
                if not piece and not inflated:
                    raise CorruptNifti("the gzip file is cut off")
                yield memoryview(inflated)
        except zlib.error:
            raise CorruptNifti("the gzip file is damaged: it cannot be inflated, or its checksum is wrong") from None
        start -= len(inflate.unused_data)
