"""A built network with how it becomes a graph and how that is verified, and what a pipeline offers to be exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from radserve_contract.spec import ModelSpec, PipelineSpec, Profile
from radserve_export.formats import GraphFormat
from radserve_export.networks import BuiltNetwork, Measurement

CheckpointPath = PurePosixPath | tuple[PurePosixPath, ...] | Callable[[Path], Path]
"""Where a checkpoint lies in its folder. Of several names that a trained system uses, the first that is there is taken;
where no name is the right one, a function finds the file or raises CheckpointMissing."""


@dataclass(frozen=True, slots=True)
class Exportable:
    """A built network with the functions for the steps after ``build``.

    ``write`` makes a graph file of each format; ``verify`` compares such a file with the original module.
    ``deviations`` measures, by its name among the pipeline's ``DEVIATIONS``, what one does to this network's answers.
    """

    network: BuiltNetwork
    write: Mapping[GraphFormat, Callable[[BuiltNetwork, Path], None]]
    verify: Callable[[BuiltNetwork, Path], tuple[Measurement, ...]]
    deviations: Mapping[str, Callable[[BuiltNetwork], Mapping[str, float | None]]] = field(default_factory=dict)


class PipelineExport(Protocol):
    """What a module ``radserve_export.pipelines.<name>`` offers."""

    @property
    def SPEC(self) -> PipelineSpec:  # noqa: N802 (a module's constant)
        """The pipeline."""

    @property
    def CHECKPOINTS(self) -> Mapping[str, CheckpointPath]:  # noqa: N802
        """Where each architecture's checkpoint lies, relative to the folder given with ``--checkpoints``."""

    @property
    def DEVIATIONS(self) -> Mapping[str, tuple[str, ...]]:  # noqa: N802
        """By Triton model: the names of its deviations from the trained system, headings of the model card."""

    def build(self, model: ModelSpec, profile: Profile, checkpoint: Path | None) -> Exportable:
        """Build ``model``; with seeded, untrained weights when there is no ``checkpoint``."""
