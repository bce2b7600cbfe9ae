"""HTTP answers in, typed values out; what is not radserve's answer is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

import httpx
from pydantic import TypeAdapter, ValidationError

from radserve_client.errors import BadAnswer, Refusal
from radserve_client.served import Served, ServedPipeline
from radserve_contract.findings import Findings

FINDINGS = TypeAdapter(Findings)
PIPELINES = TypeAdapter(tuple[ServedPipeline, ...])
STRINGS = TypeAdapter(list[str])


@dataclass(frozen=True, slots=True)
class Answer:
    """The findings of one study.

    ``notices`` are to be read first (UNTRAINED, research use only). ``document`` is the JSON as it came, for what a
    newer service says beyond ``findings``.
    """

    findings: Findings
    notices: tuple[str, ...]
    request_id: str
    document: Mapping[str, Any] = field(repr=False)


def read_answer(response: httpx.Response) -> Answer:
    """The findings in a 200 answer. Unknown fields are left to ``document``, missing ones refused.

    Raises
    ------
    BadAnswer
        Not JSON, or not the shape of findings.
    """
    document = read_json(response)
    if not isinstance(document, dict):
        _refuse(response, "not a JSON object")
    if missing := sorted({field.name for field in fields(Findings)} - set(document)):
        _refuse(response, f"no {missing[0]}")
    try:
        return Answer(
            findings=FINDINGS.validate_json(response.content, strict=True),
            notices=tuple(STRINGS.validate_python(document.get("notices"))),
            request_id=str(document["request_id"]),
            document=document,
        )
    except ValidationError as error:
        _refuse(response, _first(error))
    except KeyError as error:
        _refuse(response, f"no {error}")


def read_served(response: httpx.Response) -> Served:
    """What ``GET /v1/pipelines`` answers. Raises BadAnswer as ``read_answer`` does."""
    document = read_json(response)
    if not isinstance(document, dict) or "pipelines" not in document:
        _refuse(response, "no list of pipelines")
    try:
        pipelines = PIPELINES.validate_json(json.dumps(document["pipelines"]), strict=True)
    except ValidationError as error:
        _refuse(response, _first(error))
    return Served(pipelines, document)


def read_json(response: httpx.Response) -> Any:
    """The JSON value of an answer; NaN and infinities, which JSON does not have, are refused with BadAnswer."""
    try:
        return json.loads(response.content, parse_constant=_no_such_number)
    except ValueError as error:
        _refuse(response, f"not JSON ({error})")


def read_refusal(response: httpx.Response) -> Refusal:
    """The service's reason in any answer that is not 200.

    Raises
    ------
    BadAnswer
        The body is not radserve's error shape: something else listens there, or stands in between.
    """
    body = read_json(response)
    error = body.get("error") if isinstance(body, dict) else None
    if (
        not isinstance(error, dict)
        or not isinstance(error.get("code"), str)
        or not isinstance(error.get("message"), str)
    ):
        _refuse(response, "not radserve's error body")
    details = error.get("details")
    return Refusal(
        http_status=response.status_code,
        code=error["code"],
        message=error["message"],
        request_id=str(error.get("request_id", "")),
        details=details if isinstance(details, dict) else {},
    )


def _first(error: ValidationError) -> str:
    """Where the first difference is, and what it is."""
    first = error.errors(include_url=False)[0]
    return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)


def _no_such_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse(response: httpx.Response, why: str) -> NoReturn:
    kind = response.headers.get("Content-Type", "no Content-Type")
    raise BadAnswer(
        f"{response.url.copy_with(query=None)} answered {response.status_code} ({kind}): {why};"
        " is that radserve, of a version this client knows?"
    )
