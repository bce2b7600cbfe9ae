"""What is noted of one request while it is worked on, for its log line and its metrics."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request
from starlette.types import Scope

NONE = "none"
"""Where a request has no such thing, or named one that does not exist: nothing a client invents becomes a label."""
CLIENT_GONE = 499
"""Status in log and metrics for a client that hung up; nothing is sent. nginx's number for it."""

METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT".split())

# What proxies and libraries make up, and nothing that a name, an accession number or a UID looks like: it is logged
_REQUEST_ID = re.compile(r"(?=\d*[a-f])[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


@dataclass(slots=True)
class Entry:
    """The one mutable value of a request. ``study`` is a keyed hash, never the UID itself."""

    request_id: str
    method: str
    started: float = field(default_factory=time.perf_counter)
    status: int = 0
    code: str = ""
    pipeline: str = NONE
    profile: str = NONE
    priority: str = NONE
    detect: str = NONE
    study: str | None = None
    trace_id: str = ""
    received_bytes: int = 0
    sent_bytes: int = 0
    unread: bool = False
    """Reading the body was broken off: the connection cannot carry another request."""
    timings_s: dict[str, float] = field(default_factory=dict)

    def for_log(self) -> dict[str, object]:
        """What a log line says of it; what there is nothing of is left out."""
        said = {name: getattr(self, name) for name in _IN_LOG}
        said["timings_s"] = {step: round(seconds, 6) for step, seconds in self.timings_s.items()}
        return {name: value for name, value in said.items() if value and value != NONE}


_IN_LOG = (
    "request_id trace_id method status code pipeline profile priority detect study received_bytes sent_bytes"
).split()


def entry_of(request: Request) -> Entry:
    """The entry that ``Envelope`` made for this request."""
    return cast(Entry, request.scope["radserve.entry"])


def attach(scope: Scope, entry: Entry) -> None:
    """Let ``entry_of`` find it."""
    scope["radserve.entry"] = entry


def known_method(method: str) -> str:
    """The method when HTTP has it; HTTP's grammar lets any word pass for one."""
    return method if method in METHODS else NONE


def request_id(offered: str | None) -> str:
    """The client's request id when it is 32 hex digits or a UUID, else a new one of 32 hex digits."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return secrets.token_hex(16)
