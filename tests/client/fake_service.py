"""A tiny HTTP server on the loopback that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from radserve_contract.findings import (
    Box,
    Decision,
    Detections,
    Findings,
    ImageDescription,
    ModelIdentity,
    Notice,
    Score,
)
from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import ModelKind, ModelSpec, Profile
from radserve_preproc.catalogue import Loaded, ModelState
from radserve_preproc.description import PipelinesDocument, describe
from radserve_preproc.render_json import render_json

PNG = b"\x89PNG\r\n\x1a\n and so on"


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


@dataclass(frozen=True)
class FakeService:
    url: str
    asked: list[Asked]


def findings(*, positive: bool = True, trained: bool = False) -> dict[str, Any]:
    """An answer as the service itself writes it."""
    probability = 0.7312 if positive else 0.2
    box = Box("Osteophytes", 0.61, 10.0, 20.0, 30.5, 40.25)
    return render_json(
        Findings(
            pipeline="spine",
            profile="deployed",
            decision=Decision("abnormal" if positive else "normal", positive, probability, 0.449, ">"),
            scores=(Score("densenet121", probability, "spine_densenet121"),),
            detections=Detections(positive, "why", 0.25 if positive else None, (box,) if positive else ()),
            image=ImageDescription(kind="DICOM", rows=2800, columns=2300, pixel_spacing_mm=(0.15, 0.15)),
            models=(ModelIdentity("spine_densenet121", "1", "ab" * 32, trained),),
            warnings=(Notice("LOSSY_COMPRESSION", "compressed with loss"),),
            changes=("min-max to 8 bits",),
            timings_s={"decode": 0.1},
        ),
        request_id="request-1",
    )


def served_pipelines() -> dict[str, Any]:
    """What the service itself says: the default profile is loaded and untrained, the other is not in the repository."""
    spec = PIPELINES[0]
    loaded = {profile.name: _loaded(profile, here=profile.name == spec.default_profile) for profile in spec.profiles}
    return PipelinesDocument(pipelines=[describe(spec, loaded)]).model_dump(mode="json")


def _loaded(profile: Profile, *, here: bool) -> Loaded:
    states = {
        model.name: ModelState(
            model,
            present=here,
            fault="" if here else f"{model.name} is not in the served repository",
            version="1",
            identity=_identity(model) if here else None,
        )
        for model in profile.models
    }
    return Loaded(profile, states, connection=1, at=0.0)


def _identity(model: ModelSpec) -> ModelIdentity | None:
    if model.kind is ModelKind.ENSEMBLE:
        return None
    return ModelIdentity(model.name, "1", "ab" * 32, False if model.kind is ModelKind.NETWORK else None)


def ok(document: Any) -> Reply:
    return Reply(200, json.dumps(document).encode())


def refusal(status: int, code: str, message: str = "what, where, got, wanted, do", **headers: str) -> Reply:
    body = {"error": {"code": code, "message": message, "request_id": "request-2", "details": {"got": "CHEST"}}}
    return Reply(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def scored(asked: Asked) -> Reply:
    """What the service does with a film it can read."""
    if asked.headers["Accept"] == "image/png":
        return Reply(200, PNG, {"Content-Type": "image/png"})
    return ok(findings())


@contextmanager
def serving(answer: Callable[[Asked], Reply]) -> Iterator[FakeService]:
    """Answer every request with what ``answer`` returns; ``asked`` grows as requests come in."""
    asked: list[Asked] = []

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that has gone away is part of some tests; anything else is a defect of this file."""
            if not isinstance(sys.exc_info()[1], ConnectionError):
                super().handle_error(request, client_address)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two packets: the second would wait 40 ms

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Asked(self.command, self.path, dict(self.headers), body)
            asked.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield FakeService(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
