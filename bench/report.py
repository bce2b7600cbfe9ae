"""The results of a run in, the tables of docs/benchmarks.md out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.ratios import Ratio, aims, others
from bench.results import CoreTime, Film, Load, Machine, Model, Results, ServiceRun, TrainedRun

BEGIN = "<!-- results: written by `python -m bench report` -->"
END = "<!-- end of results -->"
NOTHING_YET = "No run has been recorded yet: `make bench` makes one and writes it here."


def newest(folder: Path) -> Path | None:
    """The latest results file; their names begin with date and time."""
    return max(folder.glob("*.json"), default=None)


def with_results(page: str, text: str) -> str:
    """``page`` with ``text`` between the two markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def markdown(results: Results, source: str) -> str:
    """Every table of the page; ``source`` is the name of the results file."""
    return "\n\n".join(_sections(results, source))


def _sections(results: Results, source: str) -> Iterator[str]:
    yield f"Run of {results.started}, {results.seconds_per_point:g} s a line, [`{source}`](../bench/results/{source})."
    yield "### Aims\n\n" + _ratios(aims(results))
    yield "### Other ratios\n\n" + _ratios(others(results))
    yield f"### (a) ONNX Runtime alone, {results.raw.threads} threads a session\n\n" + _loads("batch", results.raw.rows)
    triton = results.triton
    yield f"### (b) `{triton.model}` through Triton\n\nLoad: {triton.generator}.\n\n" + _loads(
        "concurrency", triton.rows
    )
    yield from (_service(run) for run in results.service)
    yield "### The service's own core time\n\n" + _core_times(results.core_time)
    yield "### (d) The trained system's way, one film at a time\n\n" + _trained(results.trained)
    yield "### Machine, films, models\n\n" + "\n\n".join(_setting(results))


def _ratios(ratios: Iterable[Ratio]) -> str:
    rows = [(ratio.what, f"{ratio.measured:.2f}", *_verdict(ratio)) for ratio in ratios]
    head = ("ratio", "measured", "wanted at least", "reached")
    return _table(head[: len(rows[0])], rows)


def _verdict(ratio: Ratio) -> tuple[str, ...]:
    return () if ratio.wanted is None else (f"{ratio.wanted:g}", "yes" if ratio.reached else "**no**")


def _loads(level: str, rows: Iterable[Load]) -> str:
    cells = [
        (str(row.level), f"{row.films_per_s:.2f}", f"{row.p50_ms:.0f}", f"{row.p95_ms:.0f}", str(row.films))
        for row in rows
    ]
    return _table((level, "films/s", "p50 ms", "p95 ms", "films"), cells)


def _service(run: ServiceRun) -> str:
    head = f"### (c) {run.film} film through the service, `Accept: {run.accept}`"
    note = f"The load generator takes {1e3 * run.generator_core_s:.1f} core ms a film."
    return f"{head}\n\n{note}\n\n{_loads('concurrency', run.rows)}"


def _core_times(times: Iterable[CoreTime]) -> str:
    rows = [
        (time.film, *(f"{1e3 * value:.1f}" for value in (time.decode_s, time.tensorise_s, time.total_s)))
        for time in times
    ]
    return _table(("film", "decode, core ms", "preprocess, core ms", "both"), rows)


def _trained(runs: Sequence[TrainedRun]) -> str:
    steps = list(dict.fromkeys(step for run in runs for step in run.steps))
    rows = [
        (
            f"{run.film}: {run.label}, {run.boxes} boxes",
            str(run.threads),
            *(f"{1e3 * seconds:.0f}" for seconds in (run.seconds, *(run.steps[step] for step in steps))),
            str(run.films),
        )
        for run in runs
    ]
    return _table(("film", "threads", "ms a film", *(f"{step} ms" for step in steps), "films"), rows)


def _setting(results: Results) -> Iterator[str]:
    yield _facts(results.machine)
    yield _table(
        ("film", "rows x columns", "bits", "MB", "bits a pixel as sent", "transfer syntax"),
        [_film(film) for film in results.films],
    )
    yield _table(("model", "weights", "threads", "SHA-256 of the graph"), [_model(model) for model in results.models])


def _facts(machine: Machine) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    return (
        f"{machine.cpu} ({', '.join(machine.instructions)}); {machine.cores} cores for everything, load generators"
        f" included; {machine.memory_gib} GiB; {machine.system}; load average before the run {machine.load:g}."
        f" Python {machine.python}, {versions}."
    )


def _film(film: Film) -> tuple[str, ...]:
    size = f"{film.rows} x {film.columns}"
    per_pixel = f"{8 * film.size_bytes / film.rows / film.columns:.1f}"
    return (film.kind, size, str(film.bits_stored), f"{film.size_bytes / 1e6:.1f}", per_pixel, film.transfer_syntax)


def _model(model: Model) -> tuple[str, ...]:
    return (model.name, "trained" if model.trained else "UNTRAINED", model.threads, f"`{model.digest[:16]}`")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; every column but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
