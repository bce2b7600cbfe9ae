"""What can go wrong when servers are started for a demo or a test."""

from __future__ import annotations


class StackError(RuntimeError):
    """A server did not start, did not become ready, or ended by itself; the message shows the end of its log."""
