"""The numbers of one run as frozen values: to one JSON file, and back from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter


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
    """(a): the networks in turn in one process with ``threads`` intra-op threads each."""

    threads: int
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

    ``generator_core_s`` is the load generator's own core time per film: it runs on the same cores.
    """

    film: str
    accept: str
    rows: tuple[Load, ...]
    generator_core_s: float


@dataclass(frozen=True, slots=True)
class CoreTime:
    """The service's own decode and preprocessing of one film, alone in a process: core seconds per film and step."""

    film: str
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
    label: str
    boxes: int
    all_cores: bool
    threads: int
    films: int
    seconds: float
    steps: dict[str, float]


@dataclass(frozen=True, slots=True)
class Results:
    """One run."""

    started: str
    seconds_per_point: float
    machine: Machine
    films: tuple[Film, ...]
    models: tuple[Model, ...]
    raw: RawRun
    triton: TritonRun
    service: tuple[ServiceRun, ...]
    core_time: tuple[CoreTime, ...]
    trained: tuple[TrainedRun, ...]


_JSON = TypeAdapter(Results)


def write(results: Results, path: Path) -> None:
    """Write ``results`` as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_JSON.dump_json(results, indent=1) + b"\n")


def read(path: Path) -> Results:
    """Read what ``write`` wrote; ValidationError when a field is missing or of another type."""
    return _JSON.validate_json(path.read_bytes())
