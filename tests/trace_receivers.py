"""Collectors for tests: spans in over OTLP, readable out. Ours come over gRPC, Triton's over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.json_format import MessageToJson
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


@dataclass
class Received:
    """What has come in. ``requests`` are messages of the protocol, ``raw`` all of it as it came."""

    requests: list[Any] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def take(self, content: bytes) -> None:
        self.raw.append(content)
        if content.lstrip().startswith(b"{"):
            return  # JSON, which Triton sends with ids in hexadecimal, not as protobuf's JSON has them
        self.requests.append(trace_service_pb2.ExportTraceServiceRequest.FromString(content))

    def spans(self) -> list[dict[str, Any]]:
        """Each span: name, kind, trace and span ids (hex), parent, attributes, whether it failed, resource."""
        return [
            _readable(span, resource.resource)
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ] + [span for content in list(self.raw) if content.lstrip().startswith(b"{") for span in _of_json(content)]

    def text(self) -> str:
        """All of it as text."""
        shown = [MessageToJson(request, ensure_ascii=False) for request in list(self.requests)]
        return "\n".join([*shown, *(content.decode("latin-1") for content in list(self.raw))])


def _readable(span: Any, resource: Any) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind,
        "trace": span.trace_id.hex(),
        "id": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "attributes": _values(span.attributes),
        "failed": span.status.code == 2,
        "message": span.status.message,
        "state": span.trace_state,
        "events": len(span.events),
        "resource": _values(resource.attributes),
        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
    }


def _values(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def _of_json(content: bytes) -> list[dict[str, Any]]:
    resources = json.loads(content).get("resourceSpans", [])
    spans = [span for one in resources for scope in one.get("scopeSpans", []) for span in scope.get("spans", [])]
    return [
        {"name": span["name"], "trace": span["traceId"], "id": span["spanId"], "parent": span.get("parentSpanId", "")}
        for span in spans
    ]


@contextmanager
def grpc_collector() -> Iterator[tuple[str, Received]]:
    """Its endpoint, and what it has received."""
    received = Received()

    class Servicer(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.take(request.SerializeToString())
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}", received
    finally:
        server.stop(None).wait()


@contextmanager
def http_collector() -> Iterator[tuple[str, Received]]:
    """The address that Triton posts to, and what it has received."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: Any) -> None:
            """Say nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
