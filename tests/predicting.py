"""A film in, the service's answer out, checked to be what every answer of its kind must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from tests.dicom_files import PATIENT_WORDS

PREDICT = "/v1/pipelines/spine/predict"
FILE_NAME = "CANARY_WILHELMINA_1931.dcm"
"""Clients put patients' names into file names; PATIENT_WORDS finds it wherever it leaks."""


def post(http: httpx.Client, film: bytes, *, path: str = PREDICT, accept: str | None = None, **query: str) -> Any:
    """Upload ``film`` under a file name that must not show up anywhere."""
    headers = {} if accept is None else {"accept": accept}
    return http.post(path, files={"file": (FILE_NAME, film)}, params=query, headers=headers)


def post_series(
    http: httpx.Client, pipeline: str, files: Sequence[bytes], *, accept: str | None = None, **query: str
) -> Any:
    """Upload the files of a CT study, or one volume or zip, under names that must not show up anywhere."""
    headers = {} if accept is None else {"accept": accept}
    parts = [("file", (FILE_NAME, content)) for content in files]
    return http.post(f"/v1/pipelines/{pipeline}/predict", files=parts, params=query, headers=headers)


def findings(response: httpx.Response) -> dict[str, Any]:
    """The document of a good JSON answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    assert_no_patient(response.text)
    document: dict[str, Any] = response.json()
    return document


def refusal(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The one error body, with this status and code; answers what stands under ``error``."""
    assert (response.status_code, response.text) == (status, response.text), response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert list(error) == ["code", "message", "request_id", "details"]
    assert error["code"] == code, error
    assert len(error["message"]) > 10
    assert error["request_id"] == response.headers["x-request-id"]
    assert isinstance(error["details"], dict)
    assert_no_patient(response.text)
    return error


def assert_no_patient(text: str) -> None:
    """No patient's name, id or date, and no file name, is in ``text``."""
    assert not [word for word in PATIENT_WORDS if word.lower() in text.lower()]
