"""What can keep a bundle from being written."""

from __future__ import annotations


class BundleError(RuntimeError):
    """Something that belongs into the bundle is missing or not what it should be; the message says what to do."""
