"""The numbers of one run's CT half as frozen values; ``bench.recorded`` writes them to a file."""

from __future__ import annotations

from dataclasses import dataclass

from bench.results import Load, Machine, Model, RawRun, Storage


@dataclass(frozen=True, slots=True)
class Chain:
    """One way from the files of a series to a tensor, in a process of its own: median wall seconds of ``runs`` runs.

    ``steps`` are the seconds of the median run. ``difference`` is the largest one between its tensor and the service's;
    0 for the service itself.
    """

    name: str
    seconds: float
    steps: dict[str, float]
    runs: int
    difference: float


@dataclass(frozen=True, slots=True)
class SeriesTime:
    """(e): one series through the service's decoding and preprocessing, and through the straightforward chains."""

    pipeline: str
    storage: Storage
    slices: int
    rows: int
    columns: int
    size_bytes: int
    service: Chain
    straightforward: tuple[Chain, ...]


@dataclass(frozen=True, slots=True)
class BatchLoad:
    """``callers`` callers of Triton, each asking again as soon as it is answered, ``batch`` items a request."""

    batch: int
    callers: int
    load: Load


@dataclass(frozen=True, slots=True)
class NetworkRun:
    """(f): one network bare, in every setting, and through Triton; ``Load.level`` of the bare runs is the batch."""

    model: Model
    dims: tuple[int, ...]
    raw: tuple[RawRun, ...]
    generator: str
    triton: tuple[BatchLoad, ...]


@dataclass(frozen=True, slots=True)
class VolumeRun:
    """(g): one volume through the service; ``batches`` is how often Triton ran the network on so many items at once."""

    pipeline: str
    slices: int
    seconds: float
    batches: dict[int, int]


@dataclass(frozen=True, slots=True)
class MemoryPeak:
    """(h): the most memory that a process ever held that decodes one study, of which ``before_bytes`` before it.

    ``volume_bytes`` is rows x columns x slices x 2.
    """

    study: str
    size_bytes: int
    volume_bytes: int
    before_bytes: int
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class ServiceMemory:
    """(i): resident memory of the service after so many requests; pairs of number and bytes, ascending."""

    what: str
    resident: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CtResults:
    """One run's CT half."""

    started: str
    seconds_per_point: float
    machine: Machine
    series: tuple[SeriesTime, ...]
    networks: tuple[NetworkRun, ...]
    volume: VolumeRun
    memory: tuple[MemoryPeak, ...]
    service_memory: ServiceMemory
