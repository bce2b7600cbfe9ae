"""``POST /v1/pipelines/{name}/predict``: a study in; findings as JSON, as a picture or as a NIfTI mask, out."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response

from radserve_contract.spec import PipelineSpec
from radserve_preproc.analyse import Order, analyse
from radserve_preproc.answer import AnswerDocument
from radserve_preproc.cpu import Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.entry import Entry, entry_of
from radserve_preproc.error_docs import responses
from radserve_preproc.intake import read_study
from radserve_preproc.patience import unless_gone, within
from radserve_preproc.query import NIFTI, PNG, PredictQuery, known_keys
from radserve_preproc.render_json import render_json
from radserve_preproc.routes import service_of
from radserve_preproc.routes.pipelines import known_pipeline
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import RawStudy
from radserve_preproc.tasks.registry import task_of
from radserve_preproc.tasks.task import Analysis, Picture
from radserve_preproc.upload_limits import upload_limits
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
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": (
                                "one image, volume or zip, or the files of one series; see `accepts` of the pipeline."
                                " Names are not kept"
                            ),
                        }
                    },
                }
            }
        },
    }
}
OK: dict[str, Any] = {
    "description": (
        "The findings; with `Accept: image/png` a picture of them; with `Accept: application/x-nifti` the mask of a"
        " segmentation, as .nii.gz"
    ),
    "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (PNG, NIFTI)},
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
    """The files are streamed into memory, never written to a disk, and forgotten with the answer.

    JSON, PNG or NIfTI by `Accept`; naming an overlay asks for the PNG. A client that hangs up cancels its study.
    """
    entry, service = entry_of(request), service_of(request)
    profile = query.chosen_profile(spec)
    media_type = query.media_type(", ".join(request.headers.getlist("accept")), profile)
    picture = query.picture(profile)
    entry.profile, entry.priority, entry.detect = profile.name, query.priority.value, query.detect.value
    settings = service.settings
    deadline = Deadline.after(settings.series_timeout_s if spec.volumes else settings.request_timeout_s)
    order = Order(spec, profile, query.priority, query.detect, deadline, entry.request_id, query.series)
    visit = _Visit(order, service, entry, media_type, picture)
    async with within(deadline):
        await service.catalogue.require(profile)  # before the upload: nobody sends a film in vain
        with service.uploads.hold(query.priority) as holding:
            study = await visit.receive(request, holding)
            return await unless_gone(request, visit.answer(study))


class _Visit:
    """One request on its way from upload to answer, in the representation of ``media_type``."""

    def __init__(self, order: Order, service: Service, entry: Entry, media_type: str, picture: Picture) -> None:
        self._order = order
        self._service = service
        self._entry = entry
        self._media_type = media_type
        self._picture = picture
        self._watch = Stopwatch(partial(service.metrics.stage, order.spec.name, order.priority))
        entry.timings_s = self._watch.timings_s

    async def receive(self, request: Request, holding: Holding) -> RawStudy:
        """The uploaded files."""
        limits = upload_limits(self._order.spec, self._service.settings)
        with self._watch.step("upload"):
            study = await read_study(
                request, limit_bytes=limits.size_bytes, holding=holding, max_files=limits.max_files
            )
        self._entry.received_bytes = study.size_bytes
        self._service.metrics.upload(self._order.spec.name, study.size_bytes)
        return study

    async def answer(self, study: RawStudy) -> Response:
        """The response: findings, or a picture of them."""
        analysis = await analyse(study, self._order, self._service, self._watch)
        self._entry.study = self._service.hasher(analysis.findings.image.study_instance_uid)
        self._service.metrics.findings(analysis.findings)
        if self._media_type in (PNG, NIFTI):
            return Response(await self._render(analysis), media_type=self._media_type)
        return JSONResponse(render_json(analysis.findings, request_id=self._order.request_id))

    async def _render(self, analysis: Analysis) -> bytes:
        task = task_of(self._order.profile)
        if self._media_type == NIFTI and task.nifti is not None:
            job = partial(task.nifti, analysis)
        else:
            job = partial(task.draw, analysis, self._picture)
        drawing = self._service.cpu.run(Job.RENDER, self._order.priority, self._order.deadline, job)
        return await self._watch.queued(Job.RENDER.value, drawing)
