"""Retry-After in, seconds out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from radserve_client.pauses import pause_s

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "wanted_s"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 12 ", 12.0),
        ("3600", 30.0),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 10.0),
        ("Fri, 02 Jan 2026 03:04:15", 10.0),
        ("Fri, 02 Jan 2026 02:00:00 GMT", 0.0),
        (None, 1.0),
        ("", 1.0),
        ("soon", 1.0),
        ("-5", 1.0),
        ("1e9", 1.0),
        ("nan", 1.0),
        ("\u0663", 1.0),
    ],
)
def test_seconds_or_a_date_are_honoured_up_to_the_limit(header: str | None, wanted_s: float) -> None:
    assert pause_s(header, longest_s=30.0, now=NOW) == wanted_s
