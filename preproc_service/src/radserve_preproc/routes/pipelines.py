"""``GET /v1/pipelines`` and ``GET /v1/pipelines/{name}``: what is served, by which models."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.catalogue import Loaded
from radserve_preproc.description import PipelineDocument, PipelinesDocument, describe
from radserve_preproc.entry import entry_of
from radserve_preproc.error_docs import responses
from radserve_preproc.errors import RadserveError, UnknownPipeline
from radserve_preproc.routes import service_of
from radserve_preproc.service import Service

router = APIRouter()


def known_pipeline(request: Request, name: Annotated[str, Path(examples=["spine"])]) -> PipelineSpec:
    """The pipeline in the address. From here on the request counts as one of it.

    Raises
    ------
    UnknownPipeline
    """
    pipelines = {spec.name: spec for spec in service_of(request).pipelines}
    if name not in pipelines:
        raise UnknownPipeline(f"no such pipeline; there are {', '.join(pipelines)}", pipelines=list(pipelines))
    entry_of(request).pipeline = name
    return pipelines[name]


@router.get("/v1/pipelines", summary="What is served", responses=responses(500))
async def list_pipelines(request: Request) -> PipelinesDocument:
    """All pipelines, as Triton has them loaded now. Answers also when Triton does not."""
    service = service_of(request)
    return PipelinesDocument(pipelines=[await _describe(service, spec) for spec in service.pipelines])


@router.get("/v1/pipelines/{name}", summary="One pipeline", responses=responses(404, 500))
async def show_pipeline(request: Request, spec: Annotated[PipelineSpec, Depends(known_pipeline)]) -> PipelineDocument:
    """Inputs, labels, thresholds, profiles, model versions and digests, as Triton has them loaded now."""
    return await _describe(service_of(request), spec)


async def _describe(service: Service, spec: PipelineSpec) -> PipelineDocument:
    return describe(spec, {profile.name: await _look(service, profile) for profile in spec.profiles})


async def _look(service: Service, profile: Profile) -> Loaded | None:
    try:
        return await service.catalogue.look(profile)
    except RadserveError:
        return None
