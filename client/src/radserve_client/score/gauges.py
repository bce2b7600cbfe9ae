"""What a run shows of itself while it goes: numbers that its threads write and whoever draws them reads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Gauges:
    """How full each stage is now. ``waiting_for`` says what is missing while the run stands still, else it is empty."""

    reading: int = 0
    """Items whose bytes are being read, or that wait for room in memory."""
    read: int = 0
    """Items in memory that wait for a place in the window."""
    scoring: int = 0
    """Items that are with the server."""
    scored: int = 0
    """Answers that wait to be written."""
    window: int = 0
    """Items that may be with the server at once."""
    held_bytes: int = 0
    """Bytes of items in memory."""
    waiting_for: str = ""
