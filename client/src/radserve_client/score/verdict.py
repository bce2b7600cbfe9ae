"""The service's reason for not answering in; out: a failure of the item, or what to do about it.

The same table for both ways: the service says these codes over HTTP, and its own code raises them in a worker process.
"""

from __future__ import annotations

from radserve_client.score.errors import ServerRefuses
from radserve_client.score.outcome import Failed
from radserve_client.score.way import Broke, Busy, Content, Gone

OF_THE_REQUEST = frozenset({"NOT_FOUND", "UNKNOWN_PIPELINE", "METHOD_NOT_ALLOWED", "NOT_ACCEPTABLE"})
"""What is wrong is the same for every item. Not BAD_REQUEST: a NIfTI file has no series to choose."""
FOR_GOOD = frozenset({"INTERNAL_ERROR", "BAD_MODEL_OUTPUT"})
"""5xx that asking again will not mend (docs/errors.md)."""
STRAINED = frozenset({"DEADLINE_EXCEEDED"})


def judge(code: str, message: str, *, http_status: int, content: Content, retry_after_s: float | None = None) -> Failed:
    """What came of an item that was refused with ``code``.

    Raises
    ------
    Busy, Gone, Broke
        Not the item's fault, or perhaps not.
    ServerRefuses
        No item will be answered: the request is wrong.
    """
    if http_status == 429:
        raise Busy(retry_after_s)
    if http_status == 503:
        raise Gone(f"{code}: {message}", code=code, http_status=http_status)
    if code in OF_THE_REQUEST:
        raise ServerRefuses(f"{code}: {message}")
    if http_status >= 500 and code not in FOR_GOOD:
        raise Broke(code, message, http_status=http_status, strained=code in STRAINED)
    return Failed(
        code,
        message,
        transient=False,
        http_status=http_status,
        content_sha256=content.sha256 or None,
        size_bytes=content.size_bytes,
    )
