"""The results of a run in, the tables of docs/benchmarks.md out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.ct.report import sections
from bench.ct.results import CtResults
from bench.ratios import Ratio, aims, others
from bench.recorded import Recorded, newest_ct, newest_score, newest_spine
from bench.results import CoreTime, Film, Load, RawRun, Results, ServiceRun, TrainedRun
from bench.score.report import sections as score_sections
from bench.score.results import ScoreResults
from bench.tables import of_facts, of_models, table

BEGIN = "<!-- results: written by `python -m bench report` -->"
END = "<!-- end of results -->"
NOTHING_YET = "No run has been recorded yet: `make bench` makes one and writes it here."


def with_results(page: str, text: str) -> str:
    """``page`` with ``text`` between the two markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def of_folder(folder: Path) -> str:
    """The tables of the newest results in ``folder``: of each part, the newest file that has it."""
    return _all(newest_spine(folder), newest_ct(folder), newest_score(folder))


def of_run(recorded: Recorded, source: str) -> str:
    """The tables of one run; ``source`` is the name of its file."""
    spine, ct, score = recorded.spine, recorded.ct, recorded.score
    return _all((spine, source) if spine else None, (ct, source) if ct else None, (score, source) if score else None)


def _all(
    spine: tuple[Results, str] | None, ct: tuple[CtResults, str] | None, score: tuple[ScoreResults, str] | None
) -> str:
    parts = [
        *([markdown(*spine)] if spine else []),
        *([ct_markdown(*ct)] if ct else []),
        *([score_markdown(*score)] if score else []),
    ]
    return "\n\n".join(parts) or NOTHING_YET


def score_markdown(results: ScoreResults, source: str) -> str:
    """Every table of the score part; ``source`` is the name of the results file."""
    return "\n\n".join((f"## Score\n\n{_run(results, source)}", *score_sections(results)))


def ct_markdown(results: CtResults, source: str) -> str:
    """Every table of the CT part; ``source`` is the name of the results file."""
    return "\n\n".join((f"## CT\n\n{_run(results, source)}", *sections(results)))


def markdown(results: Results, source: str) -> str:
    """Every table of the spine part; ``source`` is the name of the results file."""
    return "\n\n".join((f"## Spine\n\n{_run(results, source)}", *_sections(results)))


def _run(results: Results | CtResults | ScoreResults, source: str) -> str:
    return f"Run of {results.started}, {results.seconds_per_point:g} s a line, [`{source}`](../bench/results/{source})."


def _sections(results: Results) -> Iterator[str]:
    yield "### Aims\n\n" + _ratios(aims(results))
    yield "### Other ratios\n\n" + _ratios(others(results))
    yield from (_raw(run) for run in results.raw)
    triton = results.triton
    yield f"### (b) `{triton.model}` through Triton\n\nLoad: {triton.generator}.\n\n" + _loads(
        "concurrency", triton.rows
    )
    yield from (_service(run) for run in results.service)
    yield "### The service's own core time\n\n" + _core_times(results.core_time)
    yield "### (d) The trained system's way, one film at a time\n\n" + _trained(results.trained)
    yield "### Machine, films, models\n\n" + "\n\n".join(_setting(results))


def _ratios(ratios: Sequence[Ratio]) -> str:
    """A table; the columns of the aims are there when at least one ratio has one."""
    columns = 4 if any(ratio.wanted is not None for ratio in ratios) else 2
    rows = [(ratio.what, f"{ratio.measured:.2f}", *_verdict(ratio))[:columns] for ratio in ratios]
    return table(("ratio", "measured", "wanted at least", "reached")[:columns], rows)


def _verdict(ratio: Ratio) -> tuple[str, str]:
    return ("-", "-") if ratio.wanted is None else (f"{ratio.wanted:g}", "yes" if ratio.reached else "**no**")


def _raw(run: RawRun) -> str:
    callers = "one caller" if run.callers == 1 else f"{run.callers} callers at once, each with its own batches"
    threads = f"{run.threads} thread{'s' if run.threads > 1 else ''} a session"
    waiting = "spinning" if run.spinning else "not spinning"
    return f"### (a) ONNX Runtime alone: {threads}, {waiting}, {callers}\n\n{_loads('batch', run.rows)}"


def _loads(level: str, rows: Iterable[Load]) -> str:
    cells = [
        (str(row.level), f"{row.films_per_s:.2f}", f"{row.p50_ms:.0f}", f"{row.p95_ms:.0f}", str(row.films))
        for row in rows
    ]
    return table((level, "films/s", "p50 ms", "p95 ms", "films"), cells)


def _service(run: ServiceRun) -> str:
    head = f"### (c) {run.film} film, {run.storage}, through the service, `Accept: {run.accept}`"
    note = f"Load: {run.generator}; it takes {1e3 * run.generator_core_s:.1f} core ms a film."
    return f"{head}\n\n{note}\n\n{_loads('concurrency', run.rows)}"


def _core_times(times: Iterable[CoreTime]) -> str:
    rows = [
        (
            f"{time.film}, {time.storage}",
            *(f"{1e3 * value:.1f}" for value in (time.decode_s, time.tensorise_s, time.total_s)),
        )
        for time in times
    ]
    return table(("film", "decode, core ms", "preprocess, core ms", "both"), rows)


def _trained(runs: Sequence[TrainedRun]) -> str:
    steps = list(dict.fromkeys(step for run in runs for step in run.steps))
    rows = [
        (
            f"{run.film}, {run.storage}: {run.label}, {run.boxes} boxes",
            str(run.threads),
            *(f"{1e3 * seconds:.0f}" for seconds in (run.seconds, *(run.steps[step] for step in steps))),
            str(run.films),
        )
        for run in runs
    ]
    return table(("film", "threads", "ms a film", *(f"{step} ms" for step in steps), "films"), rows)


def _setting(results: Results) -> Iterator[str]:
    yield of_facts(results.machine)
    yield table(
        ("film", "rows x columns", "bits", "MB", "bits a pixel as sent", "transfer syntax"),
        [_film(film) for film in results.films],
    )
    yield of_models(results.models)


def _film(film: Film) -> tuple[str, ...]:
    size = f"{film.rows} x {film.columns}"
    per_pixel = f"{8 * film.size_bytes / film.rows / film.columns:.1f}"
    return (film.kind, size, str(film.bits_stored), f"{film.size_bytes / 1e6:.1f}", per_pixel, film.transfer_syntax)
