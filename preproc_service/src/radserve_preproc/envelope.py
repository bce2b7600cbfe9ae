"""A request in, its answer out: the outermost layer. Request id, one log line, one count, one error body for all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radserve_preproc.entry import CLIENT_GONE, NONE, Entry, attach, known_method, request_id
from radserve_preproc.error_response import error_response
from radserve_preproc.metrics import Metrics
from radserve_preproc.trace_words import CLIENT_GONE_CODE
from radserve_preproc.tracing import Span, Tracing, active

log = logging.getLogger(__name__)

UNNOTED = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: neither logged, counted nor traced, unless they fail unexpectedly."""


class Envelope:
    """ASGI middleware. ``draining`` says whether the service is about to stop."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, tracing: Tracing, draining: Callable[[], bool]) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. No exception leaves, unless half of an answer is out already."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        entry = Entry(request_id(headers.get("x-request-id")), known_method(scope["method"]))
        attach(scope, entry)
        noted = scope["path"] not in UNNOTED
        span = self._tracing.begin(headers.get("traceparent")) if noted else None
        try:
            with self._metrics.in_progress.track_inprogress(), active(span):
                await self._answer(scope, receive, self._noting(send, entry), entry)
        finally:
            if noted:
                self._note(scope, entry, span)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> None:
        """Let the app answer, or answer for it."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            entry.status, entry.code = CLIENT_GONE, CLIENT_GONE_CODE
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, Exception):
                log.exception("unexpected error", extra={"request_id": entry.request_id})
            if entry.status:  # the head of another response is out: all that is left is to break it off
                raise
            await error_response(Request(scope), error)(scope, receive, send)

    def _noting(self, send: Send, entry: Entry) -> Send:
        """``send``, with our headers added and the response noted."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                self._add_headers(MutableHeaders(scope=message), entry)
            elif message["type"] == "http.response.body":
                entry.sent_bytes += len(message.get("body", b""))
            await send(message)

        return noting

    def _add_headers(self, headers: MutableHeaders, entry: Entry) -> None:
        headers["X-Request-ID"] = entry.request_id
        headers.setdefault("Cache-Control", "no-store")  # answers are about a patient
        headers["X-Content-Type-Options"] = "nosniff"
        if self._draining() or entry.unread:
            headers["Connection"] = "close"

    def _note(self, scope: Scope, entry: Entry, span: Span | None) -> None:
        seconds = time.perf_counter() - entry.started
        self._metrics.request(entry, seconds)
        level = logging.ERROR if entry.status >= 500 else logging.INFO
        route = getattr(scope.get("route"), "path", NONE)
        if span is not None:
            entry.trace_id = span.trace_id
            _end(span, entry, route)
        log.log(level, "request", extra={"route": route, "duration_s": round(seconds, 6), **entry.for_log()})


def _end(span: Span, entry: Entry, route: str) -> None:
    """Say what came of the request; a client's mistake is no failure of ours."""
    span.rename(f"{entry.method} {route}")
    span.note(
        method=entry.method,
        route=route,
        status=entry.status,
        pipeline=entry.pipeline,
        profile=entry.profile,
        priority=entry.priority,
        detect=entry.detect,
        error_code=entry.code,
    )
    span.end(failed=entry.status >= 500)
