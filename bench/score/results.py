"""The numbers of one run's score part as frozen values; ``bench.recorded`` writes them to a file."""

from __future__ import annotations

from dataclasses import dataclass

from bench.results import CoreTime, Machine, Model, Storage, TritonRun


@dataclass(frozen=True, slots=True)
class ScoreLoad:
    """(j): ``radserve score`` over an archive of normal films, through a window of ``seconds`` in its steady state.

    ``executions`` are Triton's own counts, by network, over the window: how many films it has seen, however batched.
    ``runs`` is how often it ran them. ``rows`` are the dataset's, by ``scored_at`` in the same window. ``core_s`` is
    the CPU time over the window of the command, its workers, the service and Triton.
    """

    via: str
    storage: Storage
    seconds: float
    executions: dict[str, int]
    runs: dict[str, int]
    rows: int
    core_s: dict[str, float]


@dataclass(frozen=True, slots=True)
class ArchiveMemory:
    """(k): peak resident memory of a run over ``items`` items, the kernel's own mark of each process.

    ``workers_bytes`` is the sum over all processes that the command started.
    """

    via: str
    items: int
    seconds: float
    command_bytes: int
    workers_bytes: int

    @property
    def total_bytes(self) -> int:
        """Of all processes; what they share counts in each."""
        return self.command_bytes + self.workers_bytes


@dataclass(frozen=True, slots=True)
class Resume:
    """(l): the same command over an archive of which every item has its row, until it has ended.

    ``begun_s`` of the ``seconds`` pass until the run begins: the interpreter, its imports, asking what is served,
    opening the ledger. ``listing_s`` is the time of listing the archive alone, in a process of its own.
    """

    via: str
    items: int
    seconds: float
    begun_s: float
    listing_s: float


@dataclass(frozen=True, slots=True)
class ScoreResults:
    """One run's score part."""

    started: str
    seconds_per_point: float
    machine: Machine
    models: tuple[Model, ...]
    triton: TritonRun
    core_time: tuple[CoreTime, ...]
    loads: tuple[ScoreLoad, ...]
    memory: tuple[ArchiveMemory, ...]
    resume: tuple[Resume, ...]
