"""A study in, its findings out: the table of contents of the service. Start reading here.

::

    bytes -> RawStudy -> DecodedImage -> tensors -> Triton -> Findings -> JSON / PNG / NIfTI
    intake   decode      prepare/*       triton     tasks/*   render_*

What differs between pipelines is data in their profiles and one module per kind of profile (``tasks/``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from radserve_contract.findings import Findings
from radserve_contract.priority import Priority
from radserve_contract.spec import ModelKind, PipelineSpec, Profile
from radserve_preproc.admission import Grant
from radserve_preproc.catalogue import Loaded
from radserve_preproc.cpu import Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.decode import decode
from radserve_preproc.detect import Detect
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import DecodedImage, RawStudy
from radserve_preproc.tasks.registry import task_of
from radserve_preproc.tasks.task import Analysis, Outcome, Outputs
from radserve_preproc.tracing import TRITON, step
from radserve_preproc.triton import InferResult, Tensor, check_outputs

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a study, by when, and under which request id. ``series``: the UID of the one to analyse."""

    spec: PipelineSpec
    profile: Profile
    priority: Priority
    detect: Detect
    deadline: Deadline
    request_id: str
    series: str | None = None


async def analyse(study: RawStudy, order: Order, service: Service, watch: Stopwatch) -> Analysis:
    """Read the study, ask the networks, and put their answers together.

    Raises
    ------
    RadserveError
        UnsupportedFile or Unfit about the study; ProfileNotLoaded, ModelNotReady, Unavailable, Busy, DeadlineExceeded,
        ModelFailed or BadModelOutput about the networks.
    """
    loaded = await service.catalogue.require(order.profile)
    step = _Steps(order, service, watch, loaded)
    image = await step.decode(study)
    outcome = await task_of(order.profile).run(step, image)
    findings = step.findings(image, outcome)
    await service.catalogue.confirm(loaded)
    return Analysis(image, findings, order.profile, outcome.maps)


class _Steps:
    """The steps of one study: what to do is in ``order``, who does it in ``service``, how long it took in ``watch``.

    It is what the tasks know as ``Networks``.
    """

    def __init__(self, order: Order, service: Service, watch: Stopwatch, loaded: Loaded) -> None:
        self._order = order
        self._service = service
        self._watch = watch
        self._loaded = loaded
        self._called: dict[str, None] = {}

    @property
    def profile(self) -> Profile:
        """See ``Networks``."""
        return self._order.profile

    @property
    def detect(self) -> Detect:
        """See ``Networks``."""
        return self._order.detect

    def classes(self, model: str) -> Sequence[str]:
        """See ``Networks``."""
        return self._loaded.models[model].classes

    def step(self, name: str) -> AbstractContextManager[None]:
        """See ``Networks``."""
        return self._watch.step(name)

    async def decode(self, study: RawStudy) -> DecodedImage:
        """The image of the upload, or the reason why it is not analysed."""
        order, limits = self._order, self._service.limits
        work = partial(decode, study, order.spec, order.profile, limits, series=order.series)
        return await self._on_cpu(Job.DECODE, work)

    async def prepare(self, function: Callable[[], Result]) -> Result:
        """See ``Networks``."""
        return await self._on_cpu(Job.TENSORISE, function)

    async def ask(self, model: str, tensors: Mapping[str, Tensor], *, stage: str) -> Outputs:
        """See ``Networks``."""
        self._called[model] = None
        spec = self.profile.model(model)
        names = [output.name for output in spec.outputs]

        async def call(grant: Grant) -> InferResult:
            with self._service.metrics.triton_call(model), step(TRITON, model=model):
                return await self._service.triton.infer(
                    model,
                    tensors,
                    names,
                    priority=grant.priority,
                    timeout_s=self._order.deadline.remaining_s(),
                    request_id=self._order.request_id,
                )

        # Triton runs an ensemble to its end when the caller has gone; only a plain model's queue can be left
        stoppable = spec.kind is not ModelKind.ENSEMBLE
        waiting = self._service.networks.run(
            model, self._order.priority, self._order.deadline, call, stoppable=stoppable
        )
        answer = await self._watch.queued(stage, waiting)
        items = len(next(iter(tensors.values())))
        check_outputs(model, answer.outputs, spec.outputs, items=items)
        return answer.outputs

    def findings(self, image: DecodedImage, outcome: Outcome) -> Findings:
        """Everything the networks said, as findings."""
        return Findings(
            pipeline=self._order.spec.name,
            profile=self.profile.name,
            image=image.description,
            models=self._loaded.identities(*self._called),
            warnings=(*image.warnings, *outcome.warnings),
            changes=(*image.changes, *outcome.changes),
            timings_s=dict(self._watch.timings_s),
            decision=outcome.decision,
            scores=outcome.scores,
            detections=outcome.detections,
            labels=outcome.labels,
            organs=outcome.organs,
            risk=outcome.risk,
            slices=outcome.slices,
            segmentation=outcome.segmentation,
        )

    async def _on_cpu(self, job: Job, function: Callable[[], Result]) -> Result:
        work = self._service.cpu.run(job, self._order.priority, self._order.deadline, function)
        return await self._watch.queued(job.value, work)
