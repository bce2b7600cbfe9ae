"""``python -m bench run`` measures and writes the page; ``python -m bench report`` writes it from recorded results."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench import report, results
from bench.run import Plan, run_all

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RECORDED = ROOT / "bench" / "results"
BUSY = 0.3

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__, no_args_is_help=True)


@app.command()
def run(
    repository: Annotated[Path, typer.Option(help="Served repository")] = ROOT / ".radserve" / "repository",
    checkpoints: Annotated[Path | None, typer.Option(help="The checkpoints it was exported from, if any")] = None,
    seconds: Annotated[float, typer.Option(help="How long each line of a table is measured")] = 10.0,
    levels: Annotated[str, typer.Option(help="Batch sizes and concurrencies, separated by commas")] = "1,2,4,8,16",
    record: Annotated[bool, typer.Option(help="Write bench/results/ and docs/benchmarks.md")] = True,
) -> None:
    """Measure (a), (b), (c) and (d) one after the other on an otherwise idle machine."""
    if (load := os.getloadavg()[0]) > BUSY * len(os.sched_getaffinity(0)):
        typer.echo(f"the load average is {load:.1f}: what else runs here will show in every number", err=True)
    plan = Plan(
        repository=repository.resolve(),
        checkpoints=checkpoints.resolve() if checkpoints else None,
        seconds=seconds,
        levels=tuple(int(level) for level in levels.split(",")),
        perf_analyzer=ROOT / ".radserve" / "perf_analyzer",
        triton_venv=Path(sys.prefix).with_name(".venv-triton"),
    )
    with TemporaryDirectory(prefix="radserve-bench-") as folder:
        measured = run_all(plan, Path(folder), say=lambda line: typer.echo(line, err=True))
    if record:
        _record(measured)
    else:
        typer.echo(report.markdown(measured, "not recorded"))


@app.command("report")
def write_report() -> None:
    """Rewrite docs/benchmarks.md from the newest file in bench/results/."""
    source = report.newest(RECORDED)
    text = report.markdown(results.read(source), source.name) if source else report.NOTHING_YET
    PAGE.write_text(report.with_results(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    typer.echo(f"{PAGE.relative_to(ROOT)}: {source.name if source else 'no results'}")


def _record(measured: results.Results) -> None:
    cpu = "".join(letter if letter.isalnum() else "-" for letter in measured.machine.cpu.lower()).strip("-")
    path = RECORDED / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{cpu}.json"
    results.write(measured, path)
    write_report()


if __name__ == "__main__":
    app()
