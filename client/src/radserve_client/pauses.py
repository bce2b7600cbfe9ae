"""A 429 answer in, the seconds to wait before the next try out (RFC 9110, 10.2.3)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

WITHOUT_ADVICE_S = 1.0


def pause_s(retry_after: str | None, *, longest_s: float, now: datetime | None = None) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date, within 0 and ``longest_s``."""
    return min(max(_asked_s(retry_after, now or datetime.now(UTC)), 0.0), longest_s)


def _asked_s(retry_after: str | None, now: datetime) -> float:
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return WITHOUT_ADVICE_S
    return (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds()
