"""What a kind of pipeline has to bring: how its networks are asked, and how its answer is drawn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy.typing as npt

from radserve_contract.findings import (
    Decision,
    Detections,
    Findings,
    LabelFinding,
    Notice,
    OrganFinding,
    Score,
    Segmentation,
    SliceScores,
)
from radserve_contract.spec import Profile
from radserve_preproc.detect import Detect
from radserve_preproc.study import DecodedImage
from radserve_preproc.triton import Tensor

Result = TypeVar("Result")
Outputs = Mapping[str, Tensor]


class Networks(Protocol):
    """What a task may use of the service. Each call waits its turn, keeps the deadline and is timed."""

    @property
    def profile(self) -> Profile:
        """How to run the pipeline."""

    @property
    def detect(self) -> Detect:
        """What was asked about the detector."""

    def classes(self, model: str) -> Sequence[str]:
        """The class names that the loaded model was published with; empty when it has none."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Time a block of quick work of the task itself, such as "fuse"."""

    async def prepare(self, function: Callable[[], Result]) -> Result:
        """Run ``function`` on a thread of the pool: everything that takes longer than a millisecond."""

    async def ask(self, model: str, tensors: Mapping[str, Tensor], *, stage: str) -> Outputs:
        """One request of N items, N at most the model's ``max_batch_size``, under the step name ``stage``.

        ``tensors`` has each input by name, ``(N, *dims)``. The answer has every output by name, ``(N, *dims)``, checked
        for shape, dtype, NaN and infinities. Several calls may run at once (``asyncio.gather``).
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a task found: the parts of ``Findings`` that it fills, and what only its pictures need.

    ``warnings`` and ``changes`` come after those of decoding. ``maps`` are arrays by name (probability maps, activation
    maps, the 28 slices); they never reach the JSON answer.
    """

    decision: Decision | None = None
    scores: tuple[Score, ...] = ()
    detections: Detections | None = None
    labels: tuple[LabelFinding, ...] = ()
    organs: tuple[OrganFinding, ...] = ()
    risk: str | None = None
    slices: SliceScores | None = None
    segmentation: Segmentation | None = None
    warnings: tuple[Notice, ...] = ()
    changes: tuple[str, ...] = ()
    maps: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Picture:
    """Which picture is wanted: ``overlay`` names one of ``Task.pictures``, None leaves it to ``Task.usual``.

    ``full_size``: pixel by pixel, not fit for a screen. ``scale`` is "fixed" (0 to 1) or "auto". ``head`` is one of
    ``OrganGradingProfile.heads``; None where none was named.
    """

    overlay: str | None = None
    full_size: bool = False
    scale: str = "fixed"
    head: str | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """The findings, and what they were found on, for the pictures."""

    image: DecodedImage
    findings: Findings
    profile: Profile
    maps: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict, repr=False)


Draw = Callable[[Analysis, Picture], bytes]


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of pipeline. ``pictures`` are PNGs by overlay kind, the usual one first; ``nifti`` is a mask, gzipped.

    ``check`` refuses, before anything runs, a picture that the profile cannot give (raises BadRequest). ``usual`` names
    the picture that shows most of an analysis, where that is not always the first.
    """

    run: Callable[[Networks, DecodedImage], Awaitable[Outcome]]
    pictures: Mapping[str, Draw]
    nifti: Callable[[Analysis], bytes] | None = None
    check: Callable[[Profile, Picture], None] = lambda _profile, _picture: None
    usual: Callable[[Analysis], str] | None = None

    def draw(self, analysis: Analysis, picture: Picture) -> bytes:
        """The PNG that ``picture`` asks for."""
        usual = self.usual(analysis) if self.usual else next(iter(self.pictures))
        return self.pictures[picture.overlay or usual](analysis, picture)


Kind = TypeVar("Kind", bound=Profile)


def of_kind(profile: Profile, kind: type[Kind]) -> Kind:
    """``profile`` as the kind that a task is registered for; TypeError is a defect of that registration."""
    if not isinstance(profile, kind):
        raise TypeError(f"profile {profile.name} is a {type(profile).__name__}; this task is for {kind.__name__}")
    return profile
