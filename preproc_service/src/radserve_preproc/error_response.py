"""Any exception in, the one error body out: ``{"error": {"code", "message", "request_id", "details"}}``."""

from __future__ import annotations

import math
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from radserve_preproc.entry import entry_of
from radserve_preproc.errors import (
    BadRequest,
    Busy,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RadserveError,
    ShuttingDown,
)


def error_response(request: Request, error: BaseException) -> JSONResponse:
    """The response for ``error``, noted in the request's entry."""
    ours = as_radserve_error(error)
    entry = entry_of(request)
    entry.code = ours.code
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(ours, Busy):
        headers["Retry-After"] = str(math.ceil(ours.retry_after_s))
    return JSONResponse(error_body(ours, entry.request_id), ours.http_status, headers)


async def handle(request: Request, error: Exception) -> JSONResponse:
    """``error_response`` as FastAPI wants its handlers."""
    return error_response(request, error)


def error_body(error: RadserveError, request_id: str) -> dict[str, Any]:
    """The body of the response for ``error``, as plain values."""
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "request_id": request_id,
            "details": error.details,
        }
    }


def as_radserve_error(error: BaseException) -> RadserveError:
    """Our error for what the framework or a defect raised. Says nothing of what an unknown exception says."""
    if isinstance(error, RadserveError):
        return error
    if isinstance(error, RequestValidationError):
        return _validation(error)
    if isinstance(error, HTTPException):
        return _http(error)
    if isinstance(error, Exception):
        return InternalError("an unexpected error; the service's log has it under the request id")
    return ShuttingDown("the service is stopping; send the request again")


def _http(error: HTTPException) -> RadserveError:
    """Starlette's own: an unknown address, a wrong method, a body it cannot parse."""
    if error.status_code == NotFound.http_status:
        return NotFound("no such address; GET /openapi.json lists all")
    if error.status_code == MethodNotAllowed.http_status:
        allowed = (error.headers or {}).get("Allow", "")
        return MethodNotAllowed(f"this address answers {allowed} only", allowed=allowed.split(", "))
    if 400 <= error.status_code < 500:
        return BadRequest("the request could not be read")
    return InternalError("an unexpected error; the service's log has it under the request id")


def _validation(error: RequestValidationError) -> BadRequest:
    """What FastAPI's validation says, without the values that were sent."""
    faults = [_fault(fault) for fault in error.errors()]
    return BadRequest("; ".join(faults), faults=faults)


def _fault(fault: dict[str, Any]) -> str:
    """One fault in words: where it is, and what was wanted there."""
    where = " ".join(map(str, fault["loc"]))
    expected = fault.get("ctx", {}).get("expected")
    return f"{where} must be {expected}" if expected else f"{where}: {fault['msg']}"
