"""HTTP in, HTTP out: one module per group of addresses. What they do is done elsewhere."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request

from radserve_preproc.readiness import Readiness
from radserve_preproc.service import Service


def service_of(request: Request) -> Service:
    """The service that answers this request."""
    return cast(Service, request.app.state.service)


def readiness_of(request: Request) -> Readiness:
    """Whether it should."""
    return cast(Readiness, request.app.state.readiness)
