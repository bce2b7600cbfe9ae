"""The state of the service in; ready or not, and which part is not, out.

Ready means: a study went through the whole chain of every loaded profile once (``warm_up``), the models of the default
profile of every pipeline that this site serves answer now, and the service is not about to stop.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from radserve_contract.priority import Priority
from radserve_contract.spec import FilmProfile, PipelineSpec, Profile
from radserve_preproc.analyse import Order, analyse
from radserve_preproc.deadline import Deadline
from radserve_preproc.detect import Detect
from radserve_preproc.entry import request_id
from radserve_preproc.errors import ModelNotReady, RadserveError
from radserve_preproc.example_study import example_study
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch

log = logging.getLogger(__name__)

WARM_UP_S = 300.0
"""For one study: the first call on a cold GPU loads kernels and searches convolution algorithms."""
PAUSE_S = 1.0
NO_PIPELINE = "no pipeline's default profile is in the served repository; publish one with radserve-export"


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
        """Try until every loaded profile has analysed a study; returns then."""
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
        checks += await self._pipeline_checks()
        self._service.metrics.checked({check.name: check.passed for check in checks})
        return checks

    async def _pipeline_checks(self) -> list[Check]:
        try:
            needed = await self._needed()
            looks = [await self._service.catalogue.look(spec.profile()) for spec in needed]
        except RadserveError as error:
            return [Check("triton", error.message)]
        states = {name: state for loaded in looks for name, state in loaded.models.items()}
        none = "" if needed else NO_PIPELINE
        return [
            Check("triton"),
            Check("pipelines", none),
            *(Check(f"model {name}", state.fault) for name, state in states.items()),
        ]

    async def _needed(self) -> list[PipelineSpec]:
        """The pipelines that must answer: those the settings name, else those whose default profile Triton has."""
        look = self._service.catalogue.look
        named = bool(self._service.settings.pipelines)
        return [spec for spec in self._service.pipelines if named or (await look(spec.profile())).present]

    async def _analyse_everywhere(self) -> None:
        needed = await self._needed()
        if not needed:
            raise ModelNotReady(NO_PIPELINE)
        for spec in needed:
            await self._service.catalogue.require(spec.profile())
            for profile in spec.profiles:
                if (await self._service.catalogue.look(profile)).present:
                    await self._analyse(spec, profile)

    async def _analyse(self, spec: PipelineSpec, profile: Profile) -> None:
        """One study by each way through the models."""
        ways = (Detect.ALWAYS, Detect.NEVER) if isinstance(profile, FilmProfile) else (Detect.AUTO,)
        for detect in ways:
            deadline = Deadline.after(WARM_UP_S)
            order = Order(spec, profile, Priority.ROUTINE, detect, deadline, request_id(None))
            await analyse(example_study(spec), order, self._service, Stopwatch())

    def _tell(self, why: str) -> None:
        """Log a reason once, not every second."""
        if why != self._cold:
            log.warning("not warm yet", extra={"why": why})
        self._cold = why
