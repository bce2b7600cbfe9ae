"""The state of the service in; ready or not, and which part is not, out.

Ready means: a film went through the whole chain of every loaded profile once (``warm_up``), the models of each
pipeline's default profile answer now, and the service is not about to stop.
"""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import dataclass

import numpy as np
from PIL import Image

from radserve_contract.priority import Priority
from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.analyse import Order, analyse
from radserve_preproc.deadline import Deadline
from radserve_preproc.detect import Detect
from radserve_preproc.entry import request_id
from radserve_preproc.errors import RadserveError
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import RawStudy

log = logging.getLogger(__name__)

WARM_UP_S = 300.0
"""For one film: the first call on a cold GPU loads kernels and searches convolution algorithms."""
PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so. ``detail`` says why it is not; empty when it is."""

    name: str
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether it is so."""
        return not self.detail


class Readiness:
    """Whether traffic should come. ``draining`` is set when the service is told to stop."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._cold = "it has not been tried yet"
        self.draining = False

    async def warm_up(self) -> None:
        """Try until every loaded profile has analysed a film; returns then."""
        while self._cold:
            try:
                await self._analyse_everywhere()
                self._cold = ""
                log.info("warm")
            except RadserveError as error:
                self._tell(error.message)
                await asyncio.sleep(PAUSE_S)
            except Exception:
                log.exception("the warm-up met a defect")
                self._tell("an unexpected error; the service's log has it")
                await asyncio.sleep(PAUSE_S)

    async def checks(self) -> list[Check]:
        """Everything that must be so for the service to be ready."""
        checks = [
            Check("not shutting down", "the service is shutting down" if self.draining else ""),
            Check("warm-up", self._cold),
        ]
        for spec in self._service.pipelines:
            checks += await self._model_checks(spec)
        self._service.metrics.ready.set(all(check.passed for check in checks))
        return checks

    async def _model_checks(self, spec: PipelineSpec) -> list[Check]:
        try:
            loaded = await self._service.catalogue.look(spec.profile())
        except RadserveError as error:
            return [Check("triton", error.message)]
        return [Check("triton"), *(Check(f"model {name}", state.fault) for name, state in loaded.models.items())]

    async def _analyse_everywhere(self) -> None:
        for spec in self._service.pipelines:
            await self._service.catalogue.require(spec.profile())
            for profile in spec.profiles:
                if (await self._service.catalogue.look(profile)).present:
                    await self._analyse(spec, profile)

    async def _analyse(self, spec: PipelineSpec, profile: Profile) -> None:
        """One film by each way through the models."""
        for detect in (Detect.ALWAYS, Detect.NEVER):
            deadline = Deadline.after(WARM_UP_S)
            order = Order(spec, profile, Priority.ROUTINE, detect, deadline, request_id(None))
            await analyse(_film(), order, self._service, Stopwatch())

    def _tell(self, why: str) -> None:
        """Log a reason once, not every second."""
        if why != self._cold:
            log.warning("not warm yet", extra={"why": why})
        self._cold = why


def _film() -> RawStudy:
    """A synthetic picture with some structure, as PNG; no patient anywhere."""
    y, x = np.mgrid[0:512, 0:400]
    grey = 128 + 60 * np.sin(x / 23) * np.cos(y / 31) + 60 * np.sin((x + y) / 97)
    file = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(file, "PNG")
    return RawStudy(file.getvalue())
