"""A function in, a ``Triton`` out that answers with it: no server, no network.

``spine_outputs`` is such a function for the spine pipeline: it says what the test wants the networks to have said.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from radserve_contract.pipelines import spine
from radserve_contract.priority import Priority
from radserve_contract.spec import FilmProfile, ModelKind, PipelineSpec, Profile
from radserve_preproc.triton import InferResult, ServedModel, Tensor

CLASSES = ("Osteophytes", "Disc space narrowing", "Other lesions")
Answer = Callable[[str, Mapping[str, Tensor]], Any]


@dataclass(frozen=True)
class Call:
    """One call of ``infer``."""

    model: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    outputs: tuple[str, ...]
    priority: Priority
    timeout_s: float
    request_id: str


class FakeTriton:
    """Answers ``infer`` with ``answer(model, tensors)``; it may be a coroutine function, and may raise.

    ``models`` is what the repository holds, by name: change it, and ``connection``, to act as another server.
    ``not_ready`` names models that are there but do not answer.
    """

    def __init__(self, answer: Answer | None = None, models: Mapping[str, ServedModel] | None = None) -> None:
        self.answer = answer or spine_outputs()
        self.models = dict(published(spine.DEPLOYED) if models is None else models)
        self.not_ready: set[str] = set()
        self.down: Exception | None = None
        self.calls: list[Call] = []
        self.connection = 0
        self.closed = False

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        priority: Priority,
        timeout_s: float,
        request_id: str,
    ) -> InferResult:
        self._fail_when_down()
        self.calls.append(Call(model, tensors, tuple(outputs), priority, timeout_s, request_id))
        answered = self.answer(model, tensors)
        found = await answered if inspect.isawaitable(answered) else answered
        return InferResult({name: found[name] for name in outputs if name in found}, self.models[model].version)

    async def ready(self, model: str) -> bool:
        self._fail_when_down()
        return model in self.models and model not in self.not_ready

    async def config(self, model: str) -> ServedModel | None:
        self._fail_when_down()
        return self.models.get(model)

    async def close(self) -> None:
        self.closed = True

    def _fail_when_down(self) -> None:
        if self.down is not None:
            raise self.down

    def called(self) -> list[str]:
        """The models called so far, in order."""
        return [call.model for call in self.calls]


def published(
    profile: Profile, *, version: str = "1", trained: bool = True, release: str = "a"
) -> dict[str, ServedModel]:
    """The models of a profile as publishing leaves them; ``release`` makes the digests differ."""
    served = {}
    for model in profile.models:
        parameters = {}
        if model.kind is not ModelKind.ENSEMBLE:
            parameters[f"radserve_digest_{version}"] = digest_of(model.name, release)
        if model.kind is ModelKind.NETWORK:
            parameters[f"radserve_trained_{version}"] = str(trained).lower()
        if isinstance(profile, FilmProfile) and model.name == profile.detection.model:
            parameters[f"radserve_classes_{version}"] = json.dumps(CLASSES)
        served[model.name] = ServedModel(version, parameters)
    return served


def digest_of(model: str, release: str = "a") -> str:
    """64 hex digits that stand for the SHA-256 of a graph."""
    return f"{release}{model}".encode().hex()[:64].ljust(64, "0")


def spine_outputs(
    score: float = 0.8,
    members: tuple[float, float, float] = (0.9, 0.7, 0.6),
    boxes: Sequence[tuple[float, float, float, float, float, int]] = ((64, 64, 320, 320, 0.9, 0),),
    spec: PipelineSpec = spine.SPEC,
) -> Answer:
    """What the spine's models answer: a fused score, the members', boxes (x_min, y_min, x_max, y_max, score, class)."""
    detection, fusion = spec.profile().detection, spec.profile().fusion
    rows = np.zeros((detection.max_boxes, 6), np.float32)
    rows[: len(boxes)] = np.asarray(boxes, np.float32).reshape(-1, 6)
    outputs: dict[str, Tensor] = {
        fusion.output: np.full((1, 1), score, np.float32),
        detection.boxes: rows[None, :, :4].copy(),
        detection.scores: rows[None, :, 4].copy(),
        detection.classes: rows[None, :, 5].astype(np.int32),
        detection.count: np.full((1, 1), len(boxes), np.int32),
    }
    for member, probability in zip(fusion.members, members, strict=True):
        outputs[member.output] = np.full((1, 1), probability, np.float32)
    return lambda model, tensors: outputs
