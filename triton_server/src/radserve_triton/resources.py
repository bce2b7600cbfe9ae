"""Where the folders are that belong to this package but are no Python of it: backends and self test."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# in a wheel they lie inside the package, in a checkout beside src/
_HOME = _PACKAGE if (_PACKAGE / "backends").is_dir() else _PACKAGE.parents[1]

BACKENDS = _HOME / "backends"
"""One folder per Python-based backend, named as ``backend:`` in config.pbtxt names it."""
SELF_TEST = _HOME / "self_test"
"""A model repository whose one model has a known answer."""
