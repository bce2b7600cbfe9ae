"""What a service serves, as values: the part of ``GET /v1/pipelines`` that a caller chooses by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ServedProfile:
    """One way to run a pipeline. ``loaded`` is None when Triton does not answer, ``trained`` when it is not ready."""

    name: str
    summary: str
    default: bool
    loaded: bool | None
    ready: bool
    trained: bool | None

    @property
    def state(self) -> str:
        """In a word or two: ready, not ready, not loaded, or Triton does not answer."""
        if self.ready:
            return "ready"
        return {True: "not ready", False: "not loaded", None: "Triton does not answer"}[self.loaded]


@dataclass(frozen=True, slots=True)
class ServedPipeline:
    """A pipeline and its profiles."""

    name: str
    title: str
    ready: bool
    profiles: tuple[ServedProfile, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """All pipelines; ``document`` is the JSON as it came, with tensors, thresholds, models and digests."""

    pipelines: tuple[ServedPipeline, ...]
    document: Mapping[str, Any] = field(repr=False, default_factory=dict)
