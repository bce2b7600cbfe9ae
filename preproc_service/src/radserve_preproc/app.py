"""Settings in, the ASGI application out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec
from radserve_preproc.envelope import Envelope
from radserve_preproc.error_response import handle
from radserve_preproc.errors import RadserveError
from radserve_preproc.metrics import Metrics
from radserve_preproc.openapi import openapi
from radserve_preproc.quiet import silence_libraries
from radserve_preproc.readiness import Readiness
from radserve_preproc.render_json import RESEARCH_USE
from radserve_preproc.routes import docs, health, pipelines, predict
from radserve_preproc.score_reference import read_references
from radserve_preproc.service import build_service
from radserve_preproc.settings import ConfigurationError, Settings
from radserve_preproc.tracing import make_tracing
from radserve_preproc.triton import Triton
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_preproc.triton_tls import tls_files

# FastAPI traces and measures every request through OpenTelemetry as soon as an SDK is installed; spans would carry what
# clients send. Metrics are ours alone.
NO_TELEMETRY: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
Connect = Callable[[Settings, Metrics], Triton]


def connect(settings: Settings, metrics: Metrics) -> Triton:
    """The real Triton at the settings' address."""
    return TritonGrpc(settings.triton_address, settings.triton_balancing, metrics.triton_retry, tls=tls_files(settings))


def chosen(specs: tuple[PipelineSpec, ...], names: str) -> tuple[PipelineSpec, ...]:
    """The specs of those names, separated by commas; all of them when none is named."""
    wanted = names.split(",") if names else [spec.name for spec in specs]
    known = {spec.name: spec for spec in specs}
    if unknown := sorted(set(wanted) - set(known)):
        raise ConfigurationError(f"RADSERVE_PIPELINES: no pipeline {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))


def create_app(
    settings: Settings, *, connect: Connect = connect, specs: tuple[PipelineSpec, ...] = PIPELINES
) -> FastAPI:
    """The application. ``connect`` is called when it starts, on its event loop.

    Raises
    ------
    ConfigurationError
        The settings name a pipeline that does not exist, or a file that is no score reference or no certificate.
    """
    specs = chosen(specs, settings.pipelines)
    metrics = Metrics(read_references(settings.score_reference))
    if tls := tls_files(settings):
        tls.read()
        metrics.show_certificates(tls.with_certificates())

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        silence_libraries()
        service = build_service(settings, specs, connect(settings, metrics), metrics)
        app.state.service = service
        app.state.readiness = Readiness(service)
        warming = asyncio.create_task(app.state.readiness.warm_up())
        yield
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await service.close()
        await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="radserve",
        version=version("radserve-preproc"),
        description=f"Radiographs in, findings out. {RESEARCH_USE}",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=NO_TELEMETRY,
    )
    for error in (RadserveError, RequestValidationError, HTTPException):
        app.add_exception_handler(error, handle)
    addresses = {str(app.openapi_url)}
    for module in (predict, pipelines, health, docs):
        app.include_router(module.router)
        addresses |= {route.path for route in module.router.routes if isinstance(route, Route)}
    app.openapi = partial(openapi, app)  # type: ignore[method-assign]  # how FastAPI wants it
    tracing = make_tracing(settings, specs, addresses)
    app.add_middleware(Envelope, metrics=metrics, tracing=tracing, draining=lambda: app.state.readiness.draining)
    return app
