"""An item in, its answer out, in this process: the service's own ``analyse``, without HTTP around it.

Runs in worker processes and Ray actors only: it imports the decoders (``radserve-client[local]``). What a request would
be refused for is refused here, with the same code and status.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from pydantic import ValidationError

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.read import UnreadableItem, read_parts
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.triton_models import models_at, profile_of
from radserve_client.score.tritons import Tritons
from radserve_client.score.verdict import judge
from radserve_client.score.way import Content, Gone, Served
from radserve_contract.priority import Priority
from radserve_preproc import errors
from radserve_preproc.analyse import Order, analyse
from radserve_preproc.cpu import Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.entry import request_id
from radserve_preproc.error_response import as_radserve_error
from radserve_preproc.log import describe_exception
from radserve_preproc.metrics import Metrics
from radserve_preproc.patience import within
from radserve_preproc.query import PredictQuery
from radserve_preproc.render_json import render_json
from radserve_preproc.service import Service, build_service
from radserve_preproc.settings import Settings
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import RawStudy
from radserve_preproc.tasks.registry import task_of
from radserve_preproc.tasks.task import Analysis, Picture
from radserve_preproc.triton_grpc import TritonGrpc
from radserve_preproc.upload_limits import check_total, study_of, upload_limits

log = logging.getLogger(__name__)

ARCHIVE_AWAY = "ARCHIVE_UNREACHABLE"
QUEUE = 4096
"""Studies that may wait in a worker. It never refuses one: the engine's window decides how many it gets."""


class Scorer:
    """A ``Way`` within one process. Make it on the event loop that will use it.

    Raises
    ------
    WrongUse
        The pipeline has no such profile, or what is asked of it cannot be.
    """

    def __init__(self, options: ScorerOptions) -> None:
        self._options = options
        ask = options.ask
        self._spec, self._profile = profile_of(ask)
        self._query = _query(options)
        self._task = task_of(self._profile)
        self._settings = Settings.model_validate(
            {"pipelines": ask.pipeline, "cpu_threads": options.threads, "queue": QUEUE, "cpu_queue": QUEUE}
        )
        self._limits = upload_limits(self._spec, self._settings)
        self._tritons = Tritons(self._services(), self._profile, first=options.number)

    async def models(self) -> Served:
        """See ``Way``."""
        return await models_at(self._options.addresses, self._options.ask)

    async def read(self, item: Item) -> Content | Failed:
        """See ``Way``. A study over the service's limit is not read at all: it need not fit into memory."""
        try:
            check_total(item.size_bytes, self._limits)
            return await asyncio.to_thread(_content, item, self._options)
        except UnreadableItem as error:
            if error.code == ARCHIVE_AWAY:
                raise Gone(error.message, code=error.code) from None
            return Failed(error.code, error.message, transient=error.transient)
        except errors.TooLarge as error:
            return _verdict(error, Content((), "", item.size_bytes))

    async def score(self, item: Item, content: Content) -> Scored | Failed:
        """See ``Way``."""
        del item
        try:
            study = study_of(content.parts, self._limits)
            return await self._tritons.use(partial(self._scored, study, content))
        except Exception as error:
            return _verdict(error, content)

    async def close(self) -> None:
        """See ``Way``."""
        await self._tritons.close()

    def _services(self) -> list[Service]:
        """One per address, each with the gate before its Triton; they share the threads."""
        first = self._service(self._options.addresses[0])
        return [first, *(replace(self._service(other), cpu=first.cpu) for other in self._options.addresses[1:])]

    def _service(self, address: str) -> Service:
        settings = self._settings.model_copy(update={"triton_address": address})
        metrics = Metrics()
        triton = TritonGrpc(address, settings.triton_balancing, metrics.triton_retry)
        return build_service(settings, (self._spec,), triton, metrics)

    async def _scored(self, study: RawStudy, content: Content, service: Service) -> Scored:
        """The answer of one Triton; overlay and mask are drawn from the same analysis."""
        settings, watch = self._settings, Stopwatch()
        deadline = Deadline.after(settings.series_timeout_s if self._spec.volumes else settings.request_timeout_s)
        query = self._query
        order = Order(
            self._spec, self._profile, Priority.ROUTINE, query.detect, deadline, request_id(None), query.series
        )
        async with within(deadline):
            analysis = await analyse(study, order, service, watch)
            document = render_json(analysis.findings, request_id=order.request_id)
            overlay = await self._overlay(analysis, order, service) if self._options.ask.overlay else None
            mask = await self._mask(analysis, order, service) if self._options.ask.mask else None
        return Scored(document, content.sha256, content.size_bytes, overlay, mask)

    async def _overlay(self, analysis: Analysis, order: Order, service: Service) -> bytes:
        draw = partial(self._task.draw, analysis, Picture())
        return (await service.cpu.run(Job.RENDER, order.priority, order.deadline, draw)).result

    async def _mask(self, analysis: Analysis, order: Order, service: Service) -> bytes | None:
        """None of an image that does not say where it lies."""
        if self._task.nifti is None:
            return None
        draw = partial(self._task.nifti, analysis)
        try:
            return (await service.cpu.run(Job.RENDER, order.priority, order.deadline, draw)).result
        except errors.NotAcceptable:
            return None


def _query(options: ScorerOptions) -> PredictQuery:
    """The query that a request would have, with the service's own checks."""
    ask = options.ask
    asked = {"profile": ask.profile, "detect": ask.detect, "series": ask.series}
    try:
        query = PredictQuery.model_validate({name: value for name, value in asked.items() if value is not None})
        query.chosen_profile(profile_of(ask)[0])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise WrongUse(f"--{first['loc'][0]}: {first['msg']}") from None
    except errors.BadRequest as error:
        raise WrongUse(error.message) from None
    return query


def _content(item: Item, options: ScorerOptions) -> Content:
    parts = read_parts(item, options.access)
    return Content(parts, _sha256(parts), sum(map(len, parts)))


def _sha256(parts: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _verdict(error: Exception, content: Content) -> Failed:
    """What an error means for the item, as it would for one that was refused over HTTP; raises as ``judge`` does."""
    ours = as_radserve_error(error)
    if not isinstance(error, errors.RadserveError):
        log.error("unexpected error: %s", json.dumps(describe_exception(error)))
    retry_after_s = ours.retry_after_s if isinstance(ours, errors.Busy) else None
    return judge(ours.code, ours.message, http_status=ours.http_status, content=content, retry_after_s=retry_after_s)
