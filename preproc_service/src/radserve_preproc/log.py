"""Log records in, one JSON object per line on stdout out. No patient's name, id, date or file name gets through.

Libraries put what they read into their messages: pydicom warns with the value it dislikes, exceptions quote their
input. So only the words of our own loggers and uvicorn's are written. Of anybody else's record, of any warning and
of any exception the line says who and where, not what. UIDs appear as keyed hashes only (``Hasher``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import sys
import traceback
import warnings
from datetime import UTC, datetime
from typing import Any, TextIO

OUR_WORDS = ("radserve_preproc", "uvicorn")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class Hasher:
    """Identifiers in, short keyed hashes out: lines about one study can be found, but tell nothing of it."""

    def __init__(self, key: str | None) -> None:
        self._key = key.encode() if key else secrets.token_bytes(32)

    def __call__(self, identifier: str | None) -> str | None:
        """16 hex digits for ``identifier``; None for none."""
        if not identifier:
            return None
        return hmac.new(self._key, identifier.encode(), hashlib.sha256).hexdigest()[:16]


class JsonFormatter(logging.Formatter):
    """One line per record; fields of ``extra`` stand beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: time (UTC), level, logger, event, then what ``extra`` gave."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        line |= _words(record)
        if record.exc_info and record.exc_info[1] is not None:
            line |= describe_exception(record.exc_info[1])
        return json.dumps(line, default=str)


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Type and stack of an exception and of those it came from, without their messages."""
    frames = traceback.extract_tb(error.__traceback__)
    described: dict[str, Any] = {
        "exception": type(error).__qualname__,
        "stack": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return described | {"cause": describe_exception(cause)} if cause is not None else described


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send everything the process logs or warns about through ``JsonFormatter``, and nothing anywhere else."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    warnings.showwarning = _log_warning


def _words(record: logging.LogRecord) -> dict[str, Any]:
    if record.name.split(".")[0] not in OUR_WORDS:
        return {"event": "record of a library", "where": f"{record.pathname}:{record.lineno}"}
    extra = {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
    return {"event": record.getMessage(), **extra}


def _log_warning(  # takes the place of warnings.showwarning, which prints the message
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line
    logging.getLogger(__name__).warning(
        "warning", extra={"category": category.__name__, "where": f"{filename}:{lineno}"}
    )
