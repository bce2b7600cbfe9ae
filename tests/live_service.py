"""Settings and a Triton in, the service on a real socket of this machine out: uvicorn in a thread, warm and ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from radserve_contract.pipelines import spine
from radserve_contract.spec import PipelineSpec
from radserve_preproc.app import create_app
from radserve_preproc.server import Server
from radserve_preproc.settings import Settings
from radserve_preproc.triton import Triton

PREDICT = "/v1/pipelines/spine/predict"


class LiveService:
    """Use it in a ``with`` block. ``client`` is an httpx client of it; ``app`` the application, in another thread.

    Without a ``triton`` it connects to the real one at ``triton_address`` among the settings.
    """

    def __init__(
        self,
        triton: Triton | None,
        *,
        wait_ready: bool = True,
        specs: tuple[PipelineSpec, ...] = (spine.SPEC,),
        **settings: Any,
    ) -> None:
        self.settings = Settings(**({"port": 0, "cpu_threads": 2, "drain_s": 0} | settings))
        self.triton = triton
        seam = {"connect": lambda *_: triton} if triton is not None else {}
        self.app = create_app(self.settings, specs=specs, **seam)
        self.server = Server(self.app, self.settings)
        self._wait_ready = wait_ready
        self._thread = threading.Thread(target=self.server.run, name="service")

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(lambda: self.server.started, "the service did not start")
        self.port = self.server.servers[0].sockets[0].getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=120, trust_env=False)
        if self._wait_ready:
            self._wait(lambda: self.client.get("/readyz").status_code == 200, "the service did not become ready")
            self.forget_warm_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.server.should_exit = True
        self._thread.join(120)
        assert not self._thread.is_alive(), "the service did not stop"

    def forget_warm_up(self) -> None:
        """Let the fake's list of calls begin with the test's own."""
        getattr(self.triton, "calls", []).clear()

    def predict(
        self, content: bytes, *, name: str = "film.dcm", headers: dict[str, str] | None = None, **query: str
    ) -> httpx.Response:
        """Send a file."""
        return self.client.post(PREDICT, files={"file": (name, content)}, params=query, headers=headers)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics; 0 when there is none."""
        return self.app.state.service.metrics.registry.get_sample_value(name, labels) or 0.0

    def _wait(self, condition: Any, complaint: str) -> None:
        until = time.monotonic() + 120
        while not condition():
            assert self._thread.is_alive(), "the service ended"
            assert time.monotonic() < until, complaint
            time.sleep(0.01)


def wait_for(condition: Callable[[], bool], timeout_s: float = 120) -> None:
    """Return as soon as the condition holds; it is asked a hundred times a second."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"it did not happen in {timeout_s} s"
        time.sleep(0.01)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error of a response, after checking that its body has the one shape."""
    body = response.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["code", "message", "request_id", "details"]
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    return dict(body["error"])
