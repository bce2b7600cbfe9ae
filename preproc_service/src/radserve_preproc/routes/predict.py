"""``POST /v1/pipelines/{name}/predict``: a file in; findings as JSON, or the film with its boxes as PNG, out."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from radserve_contract.spec import PipelineSpec
from radserve_preproc.analyse import Analysis, Order, analyse
from radserve_preproc.answer import AnswerDocument
from radserve_preproc.cpu import Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.entry import Entry, entry_of
from radserve_preproc.error_docs import responses
from radserve_preproc.intake import read_study
from radserve_preproc.patience import unless_gone, within
from radserve_preproc.query import PNG, OverlaySize, PredictQuery, known_keys
from radserve_preproc.render_json import render_json
from radserve_preproc.render_overlay import render_overlay
from radserve_preproc.routes import service_of
from radserve_preproc.routes.pipelines import known_pipeline
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import RawStudy
from radserve_preproc.uploads import Holding

router = APIRouter()

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "one image; see `accepts` of the pipeline. Its name is not kept",
                        }
                    },
                }
            }
        },
    }
}
OK: dict[str, Any] = {
    "description": "The findings, or with `Accept: image/png` the film with its boxes drawn in",
    "content": {PNG: {"schema": {"type": "string", "format": "binary"}}},
}


@router.post(
    "/v1/pipelines/{name}/predict",
    summary="Analyse one study",
    response_model=AnswerDocument,
    responses={200: OK, **responses(400, 404, 406, 413, 415, 422, 429, 500, 502, 503, 504)},
    openapi_extra=BODY,
)
async def predict(
    request: Request,
    spec: Annotated[PipelineSpec, Depends(known_pipeline)],
    _: Annotated[None, Depends(known_keys)],
    query: Annotated[PredictQuery, Query()],
) -> Response:
    """The file is streamed into memory, never written to a disk, and forgotten with the answer.

    JSON or PNG by `Accept`; naming an overlay asks for the PNG. A client that hangs up cancels its study.
    """
    entry, service = entry_of(request), service_of(request)
    media_type = query.media_type(", ".join(request.headers.getlist("accept")))
    profile = query.chosen_profile(spec)
    entry.profile, entry.priority, entry.detect = profile.name, query.priority.value, query.detect.value
    deadline = Deadline.after(service.settings.request_timeout_s)
    order = Order(spec, profile, query.priority, query.detect, deadline, entry.request_id)
    visit = _Visit(order, service, entry, query.picture_size if media_type == PNG else None)
    async with within(deadline):
        await service.catalogue.require(profile)  # before the upload: nobody sends a film in vain
        with service.uploads.hold(query.priority) as holding:
            study = await visit.receive(request, holding)
            return await unless_gone(request, visit.answer(study))


class _Visit:
    """One request on its way from upload to answer. ``picture`` is the size of the overlay; None for JSON."""

    def __init__(self, order: Order, service: Service, entry: Entry, picture: OverlaySize | None) -> None:
        self._order = order
        self._service = service
        self._entry = entry
        self._picture = picture
        self._watch = Stopwatch(partial(service.metrics.stage, order.priority))
        entry.timings_s = self._watch.timings_s

    async def receive(self, request: Request, holding: Holding) -> RawStudy:
        """The uploaded file."""
        limit_bytes = self._service.settings.upload_limit_bytes
        with self._watch.step("upload"):
            study = await read_study(request, limit_bytes=limit_bytes, holding=holding)
        self._entry.received_bytes = len(study.content)
        self._service.metrics.upload(self._order.spec.name, len(study.content))
        return study

    async def answer(self, study: RawStudy) -> Response:
        """The response: findings, or a picture of them."""
        analysis = await analyse(study, self._order, self._service, self._watch)
        self._entry.study = self._service.hasher(analysis.findings.image.study_instance_uid)
        self._service.metrics.findings(analysis.findings)
        if self._picture is None:
            return JSONResponse(render_json(analysis.findings, request_id=self._order.request_id))
        return Response(await self._draw(analysis), media_type=PNG)

    async def _draw(self, analysis: Analysis) -> bytes:
        full_size = self._picture is OverlaySize.FULL
        job = partial(render_overlay, analysis.image, analysis.findings, full_size=full_size)
        drawing = self._service.cpu.run(Job.RENDER, self._order.priority, self._order.deadline, job)
        return await self._watch.queued(Job.RENDER.value, drawing)
