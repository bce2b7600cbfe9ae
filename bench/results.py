"""The numbers of one run's spine half as frozen values; ``bench.recorded`` writes them to a file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Storage(StrEnum):
    """How the pixels lie in the file. The aims are held against JPEG 2000; both hold the same pixels."""

    JPEG_2000 = "JPEG 2000"
    UNCOMPRESSED = "uncompressed"


@dataclass(frozen=True, slots=True)
class Load:
    """One line of a measurement.

    ``level`` is the batch size of (a) and the concurrency of (b) and (c); latencies are of one call: a batch in (a), a
    film in the others.
    """

    level: int
    films_per_s: float
    p50_ms: float
    p95_ms: float
    films: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What it ran on. ``cores`` are those the process may use; ``load`` is the load average before the run."""

    cpu: str
    cores: int
    instructions: tuple[str, ...]
    memory_gib: int
    system: str
    python: str
    load: float
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Film:
    """The upload that was measured: its kind, size in pixels and bytes, and transfer syntax."""

    kind: str
    rows: int
    columns: int
    bits_stored: int
    transfer_syntax: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Model:
    """A Triton model that took part: SHA-256 of its graph, trained or not, threads of its session."""

    name: str
    digest: str
    trained: bool
    threads: str


@dataclass(frozen=True, slots=True)
class RawRun:
    """(a): the networks in turn in one process, one setting of ONNX Runtime.

    Each session has ``threads`` intra-op threads, which spin while they wait or do not; ``callers`` threads of the
    process run the same sessions at once, each with batches of its own.
    """

    threads: int
    spinning: bool
    callers: int
    rows: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class TritonRun:
    """(b): the ensemble ``model``, driven by ``generator``."""

    model: str
    generator: str
    rows: tuple[Load, ...]


@dataclass(frozen=True, slots=True)
class ServiceRun:
    """(c): uploads of one film for one representation.

    ``generator_core_s`` is the core time per film of the load generator, ``generator``: it runs on the same cores.
    """

    film: str
    storage: Storage
    accept: str
    generator: str
    rows: tuple[Load, ...]
    generator_core_s: float


@dataclass(frozen=True, slots=True)
class CoreTime:
    """The service's own decode and preprocessing of one film, alone in a process: core seconds per film and step."""

    film: str
    storage: Storage
    decode_s: float
    tensorise_s: float

    @property
    def total_s(self) -> float:
        """Both steps."""
        return self.decode_s + self.tensorise_s


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """(d): films one after the other through the trained system's way.

    ``seconds`` is the median per film and ``steps`` are those of that film; ``threads`` are PyTorch's. ultralytics
    leaves PyTorch one thread less than there are cores; with ``all_cores`` it was given back.
    """

    film: str
    storage: Storage
    label: str
    boxes: int
    all_cores: bool
    threads: int
    films: int
    seconds: float
    steps: dict[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """One run's spine half."""

    started: str
    seconds_per_point: float
    machine: Machine
    films: tuple[Film, ...]
    models: tuple[Model, ...]
    raw: tuple[RawRun, ...]
    triton: TritonRun
    service: tuple[ServiceRun, ...]
    core_time: tuple[CoreTime, ...]
    trained: tuple[TrainedRun, ...]
