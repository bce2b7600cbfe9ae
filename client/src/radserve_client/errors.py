"""Everything that can go wrong on the client's side of the wire, each with a stable code.

::

    ClientError
    ├── Refused           the service's own code: WRONG_BODY_PART, BUSY, ... (docs/errors.md)
    ├── Unreachable       UNREACHABLE      nobody listens there, or the connection broke
    ├── ClientTimeout     CLIENT_TIMEOUT   no answer in time
    ├── BadAnswer         BAD_ANSWER       an answer that is not radserve's
    ├── UnreadableFile    UNREADABLE_FILE  the local file cannot be read
    └── UnwritableFile    UNWRITABLE_FILE  the overlay cannot be written
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class ClientError(Exception):
    """Root of the tree: a message for the user and a stable ``code``."""

    code: str = "CLIENT_ERROR"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def as_document(self) -> dict[str, Any]:
        """What ``radserve predict --json`` prints for it: the service's own error shape."""
        return {"code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The service's error body, and the HTTP status it came with."""

    http_status: int
    code: str
    message: str
    request_id: str
    details: Mapping[str, Any] = field(default_factory=dict)


class Refused(ClientError):
    """The service said no, and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.code = refusal.code

    @property
    def http_status(self) -> int:
        """HTTP status of the answer: 4xx is about the request, 5xx about the service."""
        return self.refusal.http_status

    def as_document(self) -> dict[str, Any]:
        """Code, message, request id, details and HTTP status."""
        return {
            "code": self.code,
            "message": self.message,
            "request_id": self.refusal.request_id,
            "details": dict(self.refusal.details),
            "http_status": self.http_status,
        }


class Unreachable(ClientError):
    """No connection to the service, or it broke."""

    code = "UNREACHABLE"


class ClientTimeout(ClientError):
    """The service did not answer in time."""

    code = "CLIENT_TIMEOUT"


class BadAnswer(ClientError):
    """Something answered, but not as radserve does."""

    code = "BAD_ANSWER"


class UnreadableFile(ClientError):
    """The local file cannot be read."""

    code = "UNREADABLE_FILE"


class UnwritableFile(ClientError):
    """An overlay cannot be written."""

    code = "UNWRITABLE_FILE"
