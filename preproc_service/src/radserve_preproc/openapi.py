"""The application in, its OpenAPI document out: FastAPI's, without the error body that this service never sends."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

NOT_OURS = ("HTTPValidationError", "ValidationError")
"""FastAPI announces these as 422 for every route with a parameter. Here they are 400, in the one shape."""


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document, made at the first request for it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        app.openapi_schema = _without_foreign_errors(document)
    return app.openapi_schema


def _without_foreign_errors(document: dict[str, Any]) -> dict[str, Any]:
    for methods in document["paths"].values():
        for operation in methods.values():
            if any(name in str(operation["responses"].get("422", "")) for name in NOT_OURS):
                del operation["responses"]["422"]
    for name in NOT_OURS:
        document["components"]["schemas"].pop(name, None)
    return document
