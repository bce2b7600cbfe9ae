"""A file of an upload as it is held: bytes, a view of an archive, or still deflated in it. Its bytes out.

Of a large archive only one of the two is held, the packed files or the inflated ones: a deflated file is inflated for
its header, and again when its pixels are decoded, by then on several threads.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A raw deflate stream (RFC 1951), a view of its archive, that was found to inflate to ``size`` bytes."""

    packed: memoryview = field(repr=False)
    size: int

    def __len__(self) -> int:
        """Of the inflated file."""
        return self.size


Content = bytes | memoryview | PackedFile


def beginning(content: Content, length: int) -> bytes:
    """The first ``length`` bytes of a file, or all of a shorter one."""
    if isinstance(content, PackedFile):
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content.packed, length)
    return bytes(content[:length])


def whole(content: Content) -> bytes | memoryview:
    """All of a file; nothing is copied that is there already."""
    if isinstance(content, PackedFile):
        return zlib.decompress(content.packed, -zlib.MAX_WBITS, bufsize=max(content.size, 1))
    return content
