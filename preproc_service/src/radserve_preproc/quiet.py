"""Keeps libraries that quote values of the header out of stderr and out of our log."""

from __future__ import annotations

import logging
import re
import warnings

from pydicom import config

_LIBRARIES = r"(pydicom|PIL)\b"
_FILTER = ("ignore", None, Warning, re.compile(_LIBRARIES), 0)


def silence_libraries() -> None:
    """Drop pydicom's and Pillow's warnings and pydicom's log lines.

    For the whole process, and again before each file: ``warnings.catch_warnings`` is not safe among threads, and a test
    runner puts its own filters in front.
    """
    config.settings.reading_validation_mode = config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    if _FILTER not in warnings.filters:
        warnings.filterwarnings("ignore", module=_LIBRARIES)
