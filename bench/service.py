"""(c) Films through the service: DICOM bytes in, answers per second out. This file is the load generator.

A closed loop: as many callers as the concurrency says, each sends a film, waits for the answer and sends the next. The
body is encoded once, so that the generator takes as little of the shared cores as it can; what it takes is reported.
"""

from __future__ import annotations

import asyncio
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter, process_time

import httpx

from bench.films import Upload
from bench.results import ServiceRun
from bench.timing import load_of

PATH = "/v1/pipelines/spine/predict"
GENERATOR = (
    f"asynchronous closed loop on httpx {httpx.__version__}, Python {platform.python_version()} (bench/service.py)"
)
WARM_UP_S = 2.0
WINDOW_ROUNDS = 2
"""Answers per caller that a window holds at least: callers start in step, and fall out of it only in time."""
POLL_S = 0.05


@dataclass
class Answers:
    """When each answer came, and how long it took; ``stop`` ends the loop."""

    ended: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    stop: bool = False


def measure(url: str, upload: Upload, accept: str, concurrencies: Sequence[int], *, seconds: float) -> ServiceRun:
    """Load the service at ``url`` with one film, at each concurrency for ``seconds``.

    Raises
    ------
    RuntimeError
        An answer is not the one this film is made to get: its rate would mean nothing.
    """
    request = _request(url, upload, accept)
    began, rows, films = process_time(), [], 0
    for concurrency in concurrencies:
        answers, opens, closes = asyncio.run(_loop(request, upload.kind, concurrency, seconds))
        films += len(answers.ended)
        latencies = within(answers, opens, closes)
        rows.append(load_of(concurrency, latencies, films_per_call=1, window_s=closes - opens))
    core_s = (process_time() - began) / films
    return ServiceRun(upload.kind, upload.storage, accept, GENERATOR, tuple(rows), generator_core_s=core_s)


def score(url: str, upload: Upload) -> float:
    """The fused probability that the service gives a film; HTTPStatusError when it gives none."""
    request = _request(url, upload, "application/json")
    with httpx.Client(trust_env=False) as client:
        response = client.send(request).raise_for_status()
    return float(response.json()["decision"]["probability"])


def _request(url: str, upload: Upload, accept: str) -> httpx.Request:
    """The upload as one multipart request; sending it again sends the same bytes."""
    request = httpx.Request(
        "POST",
        f"{url}{PATH}",
        files={"file": ("film.dcm", upload.content, "application/dicom")},
        headers={"Accept": accept},
        extensions={"timeout": httpx.Timeout(120.0).as_dict()},
    )
    request.read()
    return request


async def _loop(request: httpx.Request, kind: str, concurrency: int, seconds: float) -> tuple[Answers, float, float]:
    """All answers of one closed loop, and when its measurement opened and closed."""
    answers = Answers()
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncHTTPTransport(limits=limits) as transport:
        await check_answer(transport, request, kind)
        callers = [asyncio.create_task(_caller(transport, request, answers)) for _ in range(concurrency)]
        await _let_run(callers, answers, seconds=WARM_UP_S, films=concurrency)
        opens = perf_counter()
        await _let_run(callers, answers, seconds=seconds, films=WINDOW_ROUNDS * concurrency)
        closes, answers.stop = perf_counter(), True
        await asyncio.gather(*callers)
    return answers, opens, closes


async def _let_run(callers: Sequence[asyncio.Task[None]], answers: Answers, *, seconds: float, films: int) -> None:
    """Wait ``seconds``, and until ``films`` more answers have come; the error of a caller that fails is raised."""
    began, wanted = perf_counter(), len(answers.ended) + films
    while perf_counter() - began < seconds or len(answers.ended) < wanted:
        ended, _ = await asyncio.wait(callers, timeout=POLL_S, return_when=asyncio.FIRST_EXCEPTION)
        for caller in ended:
            caller.result()


async def _caller(transport: httpx.AsyncHTTPTransport, request: httpx.Request, answers: Answers) -> None:
    while not answers.stop:
        before = perf_counter()
        response = await transport.handle_async_request(request)
        body = await response.aread()
        if response.status_code != httpx.codes.OK:
            raise RuntimeError(f"the service answered {response.status_code}: {body[:400]!r}")
        answers.ended.append(perf_counter())
        answers.latencies.append(answers.ended[-1] - before)


async def check_answer(transport: httpx.AsyncBaseTransport, request: httpx.Request, kind: str) -> None:
    """One film before the clock runs; RuntimeError when it is not judged ``kind``."""
    response = await transport.handle_async_request(request)
    body = await response.aread()
    if response.status_code != httpx.codes.OK:
        raise RuntimeError(f"the service answered {response.status_code}: {body[:400]!r}")
    if request.headers["Accept"] == "application/json" and json.loads(body)["decision"]["label"] != kind:
        raise RuntimeError(
            f"the {kind} film is judged {json.loads(body)['decision']}: these weights do not fit the phantoms"
        )


def within(answers: Answers, opens: float, closes: float) -> list[float]:
    """Latencies of the answers that came while the window was open."""
    pairs = zip(answers.ended, answers.latencies, strict=True)
    return [latency for ended, latency in pairs if opens <= ended < closes]
