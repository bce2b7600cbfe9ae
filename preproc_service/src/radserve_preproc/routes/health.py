"""``/livez``, ``/readyz`` and ``/metrics``: for Kubernetes and Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client.exposition import choose_encoder

from radserve_preproc.answer import Document, ErrorDocument
from radserve_preproc.errors import ModelNotReady, ShuttingDown
from radserve_preproc.readiness import Check
from radserve_preproc.routes import readiness_of, service_of

router = APIRouter()

NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {"model": ErrorDocument, "description": "not ready, and what is not"}
}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus metrics"}
}


class AliveDocument(Document):
    """The process runs its event loop."""

    alive: bool


class CheckDocument(Document):
    """One thing that must be so for the service to be ready."""

    name: str
    passed: bool
    detail: str


class ReadyDocument(Document):
    """Traffic can come. ``checks`` is filled for ``?verbose``."""

    ready: bool
    checks: list[CheckDocument]


@router.get("/livez", summary="Is the process alive")
async def livez() -> AliveDocument:
    """Says nothing about Triton: restarting this process would not mend it."""
    return AliveDocument(alive=True)


@router.get("/readyz", summary="Is everything that an answer needs ready", responses=NOT_READY)
async def readyz(request: Request) -> ReadyDocument:
    """With `?verbose`, every check by name. The one that fails is always named."""
    checks = await readiness_of(request).checks()
    shown = [_shown(check) for check in checks if "verbose" in request.query_params or not check.passed]
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    if failed:
        error = ShuttingDown if readiness_of(request).draining else ModelNotReady
        raise error("; ".join(failed), checks=[document.model_dump() for document in shown])
    return ReadyDocument(ready=True, checks=shown)


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=METRICS)
async def metrics(request: Request) -> Response:
    """Text or OpenMetrics, by `Accept`."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(service_of(request).metrics.registry), headers={"Content-Type": content_type})


def _shown(check: Check) -> CheckDocument:
    return CheckDocument(name=check.name, passed=check.passed, detail=check.detail)
