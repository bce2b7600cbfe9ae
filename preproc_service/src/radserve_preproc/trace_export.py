"""Spans in, OTLP over gRPC to a collector out. Imported only when tracing is on.

Nothing global is touched: FastAPI and other libraries trace by themselves as soon as they find a global provider, and
their spans would carry what clients send.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from radserve_preproc.trace_words import Words
from radserve_preproc.tracing import TRITON

log = logging.getLogger(__name__)

SERVICE_NAME = "radserve-service"
PAUSE_MS = 2000
"""Between two exports."""
EXPORT_TIMEOUT_S = 5.0
FLUSH_S = 3.0
"""What a stop waits for a collector: traces are worth less than a prompt end."""
KEPT_SPANS = 4096
"""What waits for the collector; when that is full the oldest are lost."""


class OtlpTracing:
    """See ``Tracing``. ``endpoint`` is ``http(s)://host:port``, ``ratio`` that of requests without a caller's wish."""

    def __init__(self, endpoint: str, ratio: float, words: Words) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)  # a line for each failed try; we say it once
        self._exporter = _Told(endpoint)
        self._words = words
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=_resource(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(self._exporter, max_queue_size=KEPT_SPANS, schedule_delay_millis=PAUSE_MS)
        )
        self._tracer = self._provider.get_tracer("radserve_preproc")
        self._caller = TraceContextTextMapPropagator()

    def begin(self, traceparent: str | None) -> OtlpSpan | None:
        """See ``Tracing``. A caller's ``tracestate`` and ``baggage`` are not read: they hold free text."""
        caller = self._caller.extract({"traceparent": traceparent or ""})
        span = self._tracer.start_span("request", caller, trace.SpanKind.SERVER)
        return OtlpSpan(span, self._tracer, self._words) if span.is_recording() else None

    def close(self) -> None:
        """See ``Tracing``."""
        giving_up = threading.Timer(FLUSH_S, self._exporter.shutdown)
        giving_up.daemon = True
        giving_up.start()
        self._provider.shutdown()
        giving_up.cancel()


class OtlpSpan:
    """See ``Span``."""

    def __init__(self, span: trace.Span, tracer: trace.Tracer, words: Words) -> None:
        self._span = span
        self._tracer = tracer
        self._words = words

    @property
    def trace_id(self) -> str:
        """See ``Span``."""
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    @property
    def traceparent(self) -> str:
        """See ``Span``."""
        return f"00-{self.trace_id}-{trace.format_span_id(self._span.get_span_context().span_id)}-01"

    def child(self, name: str) -> OtlpSpan:
        """See ``Span``."""
        kind = trace.SpanKind.CLIENT if name == TRITON else trace.SpanKind.INTERNAL
        span = self._tracer.start_span(name, trace.set_span_in_context(self._span), kind)
        return OtlpSpan(span, self._tracer, self._words)

    def rename(self, name: str) -> None:
        """See ``Span``."""
        self._span.update_name(name)

    def note(self, **facts: str | int) -> None:
        """See ``Span``."""
        for fact, value in facts.items():
            attribute, allowed = self._words.get(fact, ("", frozenset()))
            if value in allowed:
                self._span.set_attribute(attribute, value)

    def end(self, *, failed: bool = False) -> None:
        """See ``Span``."""
        if failed:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


class _Told(SpanExporter):
    """The exporter, whose troubles are logged when they begin and when they end."""

    def __init__(self, endpoint: str) -> None:
        self._inner = OTLPSpanExporter(
            endpoint=endpoint,
            timeout=EXPORT_TIMEOUT_S,
            channel_options=_options({"grpc.enable_http_proxy": 0}),  # as for Triton: not through the machine's proxy
        )
        self._well = True
        self._closed = threading.Lock()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them; called on a thread of the SDK's."""
        try:
            result = self._inner.export(spans)
        except Exception:  # whatever it is, requests go on without traces
            result = SpanExportResult.FAILURE
        well = result is SpanExportResult.SUCCESS
        if well and not self._well:
            log.info("traces are received again")
        elif self._well and not well:
            log.warning("traces are lost: the collector at RADSERVE_TRACE_ENDPOINT does not take them")
        self._well = well
        return result

    def shutdown(self) -> None:
        """End what is being sent. Called by the timer and by the SDK; the second one does nothing."""
        if self._closed.acquire(blocking=False):
            self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held here."""
        del timeout_millis
        return True


def _options(options: dict[str, Any]) -> Any:
    return tuple(options.items())


def _resource() -> Resource:
    """Who we are; a site adds to it with OTEL_RESOURCE_ATTRIBUTES."""
    return Resource.create(
        {
            "service.name": SERVICE_NAME,
            "service.version": version("radserve-preproc"),
            "service.instance.id": str(uuid.uuid4()),
        }
    )
