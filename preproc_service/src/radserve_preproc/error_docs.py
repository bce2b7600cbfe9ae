"""The tree of errors in; for OpenAPI, what each status answers, with an example per code, out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from radserve_contract.volumes import VolumeFault
from radserve_preproc.answer import ErrorDocument
from radserve_preproc.errors import RadserveError

EXAMPLE_ID = "5f1b0c3e9a7d4e2f8b6a1c0d9e8f7a6b"


def all_errors() -> list[type[RadserveError]]:
    """Every error a client can be told, in the order of ``errors.py``; the root is none."""
    return list(_below(RadserveError))


def all_codes() -> list[str]:
    """Every code a client can be told: those of the classes, and the faults for which a CT study is refused."""
    return [*(error.code for error in all_errors()), *(fault.value for fault in VolumeFault)]


def meaning(error: type[RadserveError]) -> str:
    """One sentence in Markdown: the first line of the class's docstring."""
    return (inspect.getdoc(error) or "").splitlines()[0].replace("``", "`")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer besides success, as FastAPI's ``responses``."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    errors = [error for error in all_errors() if error.http_status == status]
    examples = {error.code: {"summary": meaning(error), "value": _example(error)} for error in errors}
    return {
        "model": ErrorDocument,
        "description": " / ".join(examples),
        "content": {"application/json": {"examples": examples}},
    }


def _example(error: type[RadserveError]) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": meaning(error), "request_id": EXAMPLE_ID, "details": {}}}


def _below(error: type[RadserveError]) -> Iterator[type[RadserveError]]:
    for child in error.__subclasses__():
        yield child
        yield from _below(child)
