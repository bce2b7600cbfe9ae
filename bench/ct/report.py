"""The CT results of a run in, the CT tables of docs/benchmarks.md out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.ct.aims import Aim, aims
from bench.ct.results import CtResults, MemoryPeak, NetworkRun, SeriesTime, ServiceMemory, VolumeRun
from bench.results import RawRun
from bench.tables import of_facts, of_models, table

MIB = 2**20


def sections(results: CtResults) -> Iterator[str]:
    """Every table, the aims first."""
    yield "### CT: aims\n\n" + aims_table(aims(results))
    yield "### (e) A series from its files to the tensor\n\n" + _series(results.series)
    yield from map(_network, results.networks)
    yield _volume(results.volume)
    yield "### (h) Memory of decoding\n\n" + _memory(results.memory)
    yield _service_memory(results.service_memory)
    yield "### CT: machine and models\n\n" + of_facts(results.machine)
    yield of_models(run.model for run in results.networks)


def aims_table(found: Sequence[Aim]) -> str:
    """What was wanted, and whether it was reached."""
    rows = [(aim.what, f"{aim.measured:.2f}{aim.unit}", *_verdict(aim)) for aim in found]
    return table(("what", "measured", "wanted", "reached"), rows)


def _verdict(aim: Aim) -> tuple[str, str]:
    if aim.wanted is None:
        return "-", "-"
    sign = "at most" if aim.at_most else "at least"
    return f"{sign} {aim.wanted:g}{aim.unit}", "yes" if aim.reached else "**no**"


def _series(found: Sequence[SeriesTime]) -> str:
    rows = []
    for series in found:
        what = f"{series.pipeline}, {series.slices} x {series.rows} x {series.columns}, {series.storage}"
        for chain in (series.service, *series.straightforward):
            steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in chain.steps.items())
            rows.append((what, chain.name, f"{chain.seconds:.2f}", steps, str(chain.runs), f"{chain.difference:.2g}"))
    return table(("series", "by", "s", "of these", "runs", "differs by"), rows)


def _network(run: NetworkRun) -> str:
    bare = [
        (
            _setting(raw),
            str(row.level),
            f"{row.films_per_s:.2f}",
            f"{row.p50_ms:.1f}",
            f"{row.p95_ms:.1f}",
            str(row.films),
        )
        for raw in run.raw
        for row in raw.rows
    ]
    served = [
        (
            f"Triton, {_callers(line.callers)}",
            str(line.batch),
            f"{line.load.films_per_s:.2f}",
            f"{line.load.p50_ms:.1f}",
            f"{line.load.p95_ms:.1f}",
            str(line.load.films),
        )
        for line in run.triton
    ]
    dims = " x ".join(map(str, run.dims))
    head = f"### (f) `{run.model.name}`, items of {dims}\n\nLoad on Triton: {run.generator}.\n\n"
    return head + table(("", "batch", "items/s", "p50 ms", "p95 ms", "items"), [*bare, *served])


def _setting(run: RawRun) -> str:
    waiting = "spinning" if run.spinning else "not spinning"
    return f"bare, {run.threads} thread{'s' if run.threads > 1 else ''} {waiting}, {_callers(run.callers)}"


def _callers(number: int) -> str:
    return "one caller" if number == 1 else f"{number} callers"


def _volume(run: VolumeRun) -> str:
    rows = [(str(size), str(count)) for size, count in run.batches.items()]
    head = (
        f"### (g) A volume of {run.slices} slices through `{run.pipeline}`\n\nAnswered after {run.seconds:.1f} s.\n\n"
    )
    return head + table(("slices at once, by Triton's statistics", "times"), rows)


def _memory(found: Sequence[MemoryPeak]) -> str:
    rows = [
        (
            peak.study,
            *(f"{size / MIB:.0f}" for size in (peak.size_bytes, peak.volume_bytes, peak.before_bytes, peak.peak_bytes)),
            f"{peak.peak_bytes / peak.volume_bytes:.2f}",
        )
        for peak in found
    ]
    return table(("study as", "upload MiB", "volume MiB", "before MiB", "peak MiB", "peak / volume"), rows)


def _service_memory(memory: ServiceMemory) -> str:
    rows = [(str(number), f"{size / MIB:.1f}") for number, size in memory.resident]
    return f"### (i) Memory of the service\n\nSent: {memory.what}.\n\n" + table(
        ("after requests", "resident MiB"), rows
    )
