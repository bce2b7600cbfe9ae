"""Log records in, one JSON object per line on stdout out. No patient's name, id, date or file name gets through.

Libraries put what they read into their messages: pydicom warns with the value it dislikes, exceptions quote their
input. So only what our own loggers say is written, as a constant event with the fields that are allowed
(``log_fields.py``), and what uvicorn says of itself. Of anybody else's record, of any warning and of any exception,
caught or not, the line says who and where, not what. UIDs appear as keyed hashes only (``Hasher``).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import secrets
import sys
import threading
import traceback
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

from radserve_preproc.log_fields import allowed

OURS = "radserve_preproc"
UVICORN = "uvicorn"
OF_ITSELF = frozenset({"server.py", "on.py"})
"""uvicorn's modules that talk of the server's start and end, not of requests: only their values are written."""
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
    """One line per record; the allowed fields of ``extra`` stand beside the event."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: time (UTC), level, logger, event, then what is allowed of ``extra``."""
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
    if cause is not None:
        described["cause"] = describe_exception(cause)
    if isinstance(error, BaseExceptionGroup):
        described["group"] = [describe_exception(one) for one in error.exceptions]
    return described


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send everything the process logs or warns about through ``JsonFormatter``, and nothing anywhere else."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    warnings.showwarning = _log_warning
    # those of Python print what the exception says
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda hook: _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)
    sys.unraisablehook = lambda hook: _log_uncaught(hook.exc_type, hook.exc_value, hook.exc_traceback)


def _words(record: logging.LogRecord) -> dict[str, Any]:
    speaker = record.name.split(".")[0]
    if speaker == UVICORN:
        return {"event": record.getMessage() if record.filename in OF_ITSELF else str(record.msg)}
    if speaker != OURS:
        return {"event": "record of a library", "where": f"{record.pathname}:{record.lineno}"}
    # not getMessage(): an event is a constant, and values have fields
    return {"event": str(record.msg), **allowed({k: v for k, v in vars(record).items() if k not in _STANDARD})}


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, KeyboardInterrupt):
        logging.getLogger(__name__).error("an exception that nobody caught", exc_info=(kind, error, trace))


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
