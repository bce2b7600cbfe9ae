"""The CT results of a run in, what was promised of them out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.ct.results import CtResults, MemoryPeak, NetworkRun, SeriesTime, ServiceMemory
from bench.ratios import best_raw, raw_alone_ms
from bench.results import Storage

FASTER = {Storage.UNCOMPRESSED: 3.0, Storage.JPEG_2000: 1.8}
LEAST_OF_RAW = 0.95
LONG_ITEM_MS = 20.0
OVERHEAD_MS = 2.0
MEMORY = 2.5
FLAT = 1.05
WARM_REQUESTS = 100
"""What comes before is caches and pools that fill once."""


@dataclass(frozen=True, slots=True)
class Aim:
    """Something measured; ``wanted`` is the least, or with ``at_most`` the most, None where nothing was promised."""

    what: str
    measured: float
    wanted: float | None = None
    at_most: bool = False
    unit: str = ""

    @property
    def reached(self) -> bool:
        """Whether it is what was wanted."""
        if self.wanted is None:
            return True
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted


def aims(results: CtResults) -> list[Aim]:
    """In the order of the measurements."""
    return [
        *(aim for series in results.series for aim in _faster(series)),
        *(aim for network in results.networks for aim in _through_triton(network)),
        _in_batches(results),
        *map(_memory, results.memory),
        _flat(results.service_memory),
    ]


def _faster(series: SeriesTime) -> Iterator[Aim]:
    for chain in series.straightforward:
        what = (
            f"(e) {chain.name} / the service, time of a series of {series.slices}, {series.pipeline}, {series.storage}"
        )
        yield Aim(what, chain.seconds / series.service.seconds, FASTER[series.storage])


def item_ms(run: NetworkRun) -> float:
    """How long the bare network takes for an item at best: alone, or its share of a batch."""
    return min(raw_alone_ms(run.raw), 1e3 / best_raw(run.raw))


def _through_triton(run: NetworkRun) -> Iterator[Aim]:
    """Throughput of a long network; time added to a request of a short one. The other figure stands beside it."""
    is_long = item_ms(run) > LONG_ITEM_MS
    best = max(line.load.films_per_s for line in run.triton)
    (alone_ms,) = (line.load.p50_ms for line in run.triton if (line.batch, line.callers) == (1, 1))
    name, overhead_ms = run.model.name, alone_ms - raw_alone_ms(run.raw)
    yield Aim(
        f"(f) {name}, Triton / bare, best throughput", best / best_raw(run.raw), LEAST_OF_RAW if is_long else None
    )
    wanted = None if is_long else OVERHEAD_MS
    yield Aim(f"(f) {name}, what Triton adds to a single request", overhead_ms, wanted, at_most=True, unit=" ms")


def _in_batches(results: CtResults) -> Aim:
    volume = results.volume
    items = sum(size * count for size, count in volume.batches.items())
    return Aim(
        f"(g) {volume.pipeline}, {volume.slices} slices: slices that the network ran at once, on average",
        items / sum(volume.batches.values()),
    )


def _memory(peak: MemoryPeak) -> Aim:
    return Aim(
        f"(h) peak memory / (rows x columns x slices x 2 bytes), {peak.study}",
        peak.peak_bytes / peak.volume_bytes,
        MEMORY,
        at_most=True,
    )


def _flat(memory: ServiceMemory) -> Aim:
    """The last figure over that of the warm service; of a short run over the first there is."""
    warm = next((size for number, size in memory.resident if number >= WARM_REQUESTS), memory.resident[0][1])
    number, last = memory.resident[-1]
    return Aim(
        f"(i) the service's memory after {number} requests / after {WARM_REQUESTS}", last / warm, FLAT, at_most=True
    )
