"""An application in, a running HTTP server out: uvicorn, with a way to stop that loses no request.

On SIGTERM the service says that it is not ready, goes on serving for ``drain_s`` so that load balancers notice,
then stops taking connections and lets what is running end. A second signal, or Ctrl-C, skips the waiting.
"""

from __future__ import annotations

import json
import signal
import time
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from radserve_preproc.entry import request_id
from radserve_preproc.error_response import error_body
from radserve_preproc.errors import BadRequest
from radserve_preproc.settings import Settings


class Protocol(H11Protocol):
    """HTTP/1.1 whose own refusals have the one error body as well."""

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request; ``msg`` is uvicorn's."""
        made_up = request_id(None)
        body = json.dumps(error_body(BadRequest(msg), made_up)).encode()
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("x-request-id", made_up),
            ("connection", "close"),
        ]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, with the draining."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(_config(app, settings))
        self._app = app
        self._drain_s = settings.drain_s
        self._drained_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal. uvicorn's own would stop at once, and end the process by the signal instead of with 0."""
        del frame
        if self.started and self._drained_at is None and sig == signal.SIGTERM:
            self._app.state.readiness.draining = True
            self._drained_at = time.monotonic() + self._drain_s
        elif not self.should_exit:
            self.should_exit = True
        else:
            self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; True stops the server."""
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,  # log.py has set it up
        access_log=False,  # Envelope writes a line of its own, without addresses and queries
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=round(max(settings.request_timeout_s, settings.series_timeout_s)) + 1,
    )
