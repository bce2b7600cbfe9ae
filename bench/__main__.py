"""``python -m bench run`` measures and writes the page; ``python -m bench report`` writes it from recorded results."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bench import pages, report
from bench.plan import Plan
from bench.recorded import Recorded, write

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RECORDED = ROOT / "bench" / "results"
CT_REPOSITORY = ROOT / ".radserve" / "repository-ct"
BUSY = 0.3


class Part(StrEnum):
    """What is measured: films on spine, the CT pipelines, or the batch scorer."""

    SPINE = "spine"
    CT = "ct"
    SCORE = "score"
    ALL = "all"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__, no_args_is_help=True)


@app.command()
def run(
    repository: Annotated[Path, typer.Option(help="Served repository")] = ROOT / ".radserve" / "repository",
    checkpoints: Annotated[Path | None, typer.Option(help="The checkpoints it was exported from, if any")] = None,
    seconds: Annotated[float, typer.Option(help="How long each line of a table is measured")] = 10.0,
    levels: Annotated[str, typer.Option(help="Batch sizes and concurrencies, separated by commas")] = "1,2,4,8,16",
    only: Annotated[Part, typer.Option(help="Measure one part alone")] = Part.ALL,
    ct_repository: Annotated[Path, typer.Option(help="Served repository of the CT pipelines")] = CT_REPOSITORY,
    record: Annotated[bool, typer.Option(help="Write bench/results/ and docs/benchmarks.md")] = True,
) -> None:
    """Measure (a) to (d), films, (e) to (i), CT, and (j) to (l), the scorer: in turn, on an otherwise idle machine."""
    from bench.ct.run import measured as measured_ct  # here: each process that a measurement starts imports this file,
    from bench.run import run_all  # and torch with everything around it takes ten seconds
    from bench.score.run import measured as measured_score

    if (load := os.getloadavg()[0]) > BUSY * len(os.sched_getaffinity(0)):
        typer.echo(f"the load average is {load:.1f}: what else runs here will show in every number", err=True)
    plan = Plan(
        repository=repository.resolve(),
        checkpoints=checkpoints.resolve() if checkpoints else None,
        seconds=seconds,
        levels=parsed(levels),
        perf_analyzer=ROOT / ".radserve" / "perf_analyzer",
        triton_venv=Path(sys.prefix).with_name(".venv-triton"),
        ct_repository=ct_repository.resolve(),
    )
    with TemporaryDirectory(prefix="radserve-bench-") as folder:
        measured = Recorded(
            spine=run_all(plan, Path(folder), _say) if only in (Part.SPINE, Part.ALL) else None,
            ct=measured_ct(plan, Path(folder), _say) if only in (Part.CT, Part.ALL) else None,
            score=measured_score(plan, Path(folder), _say) if only in (Part.SCORE, Part.ALL) else None,
        )
    if record:
        _record(measured)
    else:
        typer.echo(report.of_run(measured, "not recorded"))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def parsed(levels: str) -> tuple[int, ...]:
    """``"1,8"`` as numbers, ascending, each once; BadParameter when 1, the single request of an aim, is not there."""
    try:
        numbers = sorted({int(level) for level in levels.split(",")})
    except ValueError:
        raise typer.BadParameter(f"--levels {levels}: wanted numbers separated by commas") from None
    if not numbers or numbers[0] != 1:
        raise typer.BadParameter(f"--levels {levels}: wanted numbers above 0, 1 among them: it is the single request")
    return tuple(numbers)


@app.command("report")
def write_report() -> None:
    """Rewrite docs/benchmarks.md from the newest files in bench/results/."""
    text = report.of_folder(RECORDED)
    PAGE.write_text(report.with_results(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    typer.echo(f"{PAGE.relative_to(ROOT)}: {'no results' if text == report.NOTHING_YET else 'written'}")


@app.command("capacity")
def write_capacity() -> None:
    """Rewrite the tables of docs/operations.md and docs/scaling.md from the newest files in bench/results/."""
    try:
        for page in pages.write(RECORDED):
            typer.echo(f"{page.relative_to(ROOT)}: written")
    except pages.NothingRecorded as problem:
        typer.echo(f"{problem}: the pages stay as they are", err=True)


def _record(measured: Recorded) -> None:
    machine = next(part.machine for part in (measured.spine, measured.ct, measured.score) if part)
    cpu = "".join(letter if letter.isalnum() else "-" for letter in machine.cpu.lower()).strip("-")
    write(measured, RECORDED / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{cpu}.json")
    write_report()
    write_capacity()


if __name__ == "__main__":
    app()
