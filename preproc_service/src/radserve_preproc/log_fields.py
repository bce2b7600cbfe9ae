"""The fields that a log line may have beside time, level, logger and event, and what each may look like.

A field that is not listed, or whose value looks otherwise, is not written; the line then counts it under ``left_out``.
To log something new, list it here: with a form that no name, date, number of a patient or file name fits, or as words
of our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

LONGEST_TEXT = 500
LEFT_OUT = "left_out"

Form = Callable[[Any], bool]


def _like(pattern: str) -> Form:
    form = re.compile(pattern)
    return lambda value: isinstance(value, str) and form.fullmatch(value) is not None


def _number(value: Any) -> bool:
    return isinstance(value, int | float)


def _seconds_by_step(value: Any) -> bool:
    return isinstance(value, dict) and all(_word(name) and _number(seconds) for name, seconds in value.items())


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


_word = _like(r"[a-z][a-z0-9_]{0,63}")
_code = _like(r"[A-Z][A-Z0-9_]{0,63}")
_place = _like(r"[^\s:]+:\d+")

FIELDS: Mapping[str, Form] = {
    # a request (entry.py, envelope.py)
    "request_id": _like(r"[0-9a-fA-F-]{32,36}"),
    "trace_id": _like(r"[0-9a-f]{32}"),
    "route": _like(r"none|/[a-z0-9_{}/.-]*"),
    "method": _like(r"[A-Z]{3,7}"),
    "status": _number,
    "code": _code,
    "pipeline": _word,
    "profile": _word,
    "priority": _word,
    "detect": _word,
    "study": _like(r"[0-9a-f]{16}"),  # a keyed hash: log.Hasher
    "received_bytes": _number,
    "sent_bytes": _number,
    "duration_s": _number,
    "timings_s": _seconds_by_step,
    # a call of Triton (triton_grpc.py). Tensors are all it gets of a study, so its words tell nothing of a patient
    "model": _like(r"[A-Za-z][A-Za-z0-9_.-]{0,127}"),
    "grpc_status": _code,
    "triton_said": _text,
    # what the service says of itself: words of ours
    "why": _text,
    # a warning of a library, without its words
    "category": _like(r"[A-Za-z_]\w{0,63}"),
    "where": _place,
}


def allowed(extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of ``extra`` that may be written, and how many may not. None is nothing; long texts are cut."""
    given = {name: _cut(value) for name, value in extra.items() if value is not None}
    kept = {name: value for name, value in given.items() if name in FIELDS and FIELDS[name](value)}
    return kept if len(kept) == len(given) else kept | {LEFT_OUT: len(given) - len(kept)}


def _cut(value: Any) -> Any:
    return value[:LONGEST_TEXT] if isinstance(value, str) else value
