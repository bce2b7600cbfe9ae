"""A study in, its findings out: the table of contents of the service. Start reading here.

::

    bytes -> RawStudy -> DecodedImage -> tensors -> Triton -> Findings -> JSON / PNG
    intake   decode      tensorise       triton     fuse      render_*
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from radserve_contract.findings import Decision, Detections, Findings
from radserve_contract.priority import Priority
from radserve_contract.spec import InputSpec, ModelKind, PipelineSpec, Profile
from radserve_preproc import fuse
from radserve_preproc.admission import Grant
from radserve_preproc.catalogue import Loaded
from radserve_preproc.cpu import Job
from radserve_preproc.deadline import Deadline
from radserve_preproc.decode import decode
from radserve_preproc.detect import Detect
from radserve_preproc.service import Service
from radserve_preproc.stopwatch import Stopwatch
from radserve_preproc.study import DecodedImage, RawStudy
from radserve_preproc.tensorise import letterbox_geometry, tensorise
from radserve_preproc.triton import InferResult, Tensor, check_outputs

Result = TypeVar("Result")
Outputs = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted of a study, by when, and under which request id."""

    spec: PipelineSpec
    profile: Profile
    priority: Priority
    detect: Detect
    deadline: Deadline
    request_id: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """The findings, and the image they were found on (for the overlay)."""

    image: DecodedImage
    findings: Findings


async def analyse(study: RawStudy, order: Order, service: Service, watch: Stopwatch) -> Analysis:
    """Read the study, ask the networks, and put their answers together.

    Raises
    ------
    RadserveError
        UnsupportedFile or Unfit about the study; ProfileNotLoaded, ModelNotReady, Unavailable, Busy, DeadlineExceeded,
        ModelFailed or BadModelOutput about the networks.
    """
    step = _Steps(order, service, watch)
    loaded = await service.catalogue.require(order.profile)
    image = await step.decode(study)
    outputs = await step.ask(step.first_model(), image)
    decision = fuse.decide(outputs, order.profile.fusion)
    for model in step.further_models(decision):
        outputs |= await step.ask(model, image)
    findings = step.fuse(outputs, decision, image, loaded)
    await service.catalogue.confirm(loaded)
    return Analysis(image, findings)


class _Steps:
    """The steps of one study: what to do is in ``order``, who does it in ``service``, how long it took in ``watch``."""

    def __init__(self, order: Order, service: Service, watch: Stopwatch) -> None:
        self._order = order
        self._profile = order.profile
        self._service = service
        self._watch = watch
        self._called: list[str] = []

    async def decode(self, study: RawStudy) -> DecodedImage:
        """The image of the upload, or the reason why it is not analysed."""
        order, limits = self._order, self._service.limits
        return await self._on_cpu(Job.DECODE, partial(decode, study, order.spec, self._profile, limits))

    def first_model(self) -> str:
        """The model to call first: with boxes in one round trip when they are wanted anyway."""
        return self._profile.combined if self._order.detect is Detect.ALWAYS else self._profile.classification

    def further_models(self, decision: Decision) -> list[str]:
        """The models to call after that decision: the detector when it is due and has not been asked yet."""
        due = self._order.detect.applies_to(decision) and self._profile.combined not in self._called
        return [self._profile.detection.model] if due else []

    async def ask(self, model_name: str, image: DecodedImage) -> Outputs:
        """What a model says about the image: its outputs, checked against the contract."""
        self._called.append(model_name)
        model = self._profile.model(model_name)
        wanted = _inputs(self._profile, model_name)
        prepared = await self._on_cpu(Job.TENSORISE, partial(tensorise, image, tuple(wanted.values())))
        tensors = {name: prepared[item.tensor.name] for name, item in wanted.items()}
        names = [output.name for output in model.outputs]

        async def call(grant: Grant) -> InferResult:
            with self._service.metrics.triton_call(model_name):
                return await self._service.triton.infer(
                    model_name,
                    tensors,
                    names,
                    priority=grant.priority,
                    timeout_s=self._order.deadline.remaining_s(),
                    request_id=self._order.request_id,
                )

        # Triton runs an ensemble to its end when the caller has gone; only a plain model's queue can be left
        stoppable = model.kind is not ModelKind.ENSEMBLE
        waiting = self._service.networks.run(
            model_name, self._order.priority, self._order.deadline, call, stoppable=stoppable
        )
        answer = await self._watch.queued(_stage(self._profile, model_name), waiting)
        check_outputs(model_name, answer.outputs, model.outputs)
        return dict(answer.outputs)

    def fuse(self, outputs: Outputs, decision: Decision, image: DecodedImage, loaded: Loaded) -> Findings:
        """Everything the networks said, as findings."""
        with self._watch.step("fuse"):
            scores = fuse.member_scores(outputs, self._profile.fusion)
            detections = self._detections(outputs, decision, image, loaded)
        return Findings(
            pipeline=self._order.spec.name,
            profile=self._profile.name,
            decision=decision,
            scores=scores,
            detections=detections,
            image=image.description,
            models=loaded.identities(*self._called),
            warnings=image.warnings,
            changes=image.changes,
            timings_s=dict(self._watch.timings_s),
        )

    def _detections(self, outputs: Outputs, decision: Decision, image: DecodedImage, loaded: Loaded) -> Detections:
        detection, reason = self._profile.detection, self._order.detect.reason(decision)
        if not self._order.detect.applies_to(decision):
            return fuse.not_asked(reason)
        rows, columns = image.pixels.shape
        size = self._profile.input(detection.input).tensor.dims[-1]
        return fuse.detections(
            outputs,
            detection,
            classes=loaded.models[detection.model].classes,
            letterbox=letterbox_geometry(rows, columns, size),
            reason=reason,
        )

    async def _on_cpu(self, job: Job, function: Callable[[], Result]) -> Result:
        work = self._service.cpu.run(job, self._order.priority, self._order.deadline, function)
        return await self._watch.queued(job.value, work)


def _inputs(profile: Profile, model_name: str) -> dict[str, InputSpec]:
    """For each input of a model, how its pixels are made. The detector on its own calls its input otherwise."""
    if model_name == profile.detection.model:
        (tensor,) = profile.model(model_name).inputs
        return {tensor.name: profile.input(profile.detection.input)}
    return {tensor.name: profile.input(tensor.name) for tensor in profile.model(model_name).inputs}


def _stage(profile: Profile, model_name: str) -> str:
    """What a call of that model is called in timings."""
    stages = {
        profile.classification: "classify",
        profile.detection.model: "detect",
        profile.combined: "classify_and_detect",
    }
    return stages[model_name]
