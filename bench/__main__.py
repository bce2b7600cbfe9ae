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

from bench import report
from bench.ct.run import measured as measured_ct
from bench.recorded import Recorded, write
from bench.run import Plan, run_all

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RECORDED = ROOT / "bench" / "results"
CT_REPOSITORY = ROOT / ".radserve" / "repository-ct"
BUSY = 0.3


class Half(StrEnum):
    """What is measured: films on spine, or the CT pipelines."""

    SPINE = "spine"
    CT = "ct"
    ALL = "all"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help=__doc__, no_args_is_help=True)


@app.command()
def run(
    repository: Annotated[Path, typer.Option(help="Served repository")] = ROOT / ".radserve" / "repository",
    checkpoints: Annotated[Path | None, typer.Option(help="The checkpoints it was exported from, if any")] = None,
    seconds: Annotated[float, typer.Option(help="How long each line of a table is measured")] = 10.0,
    levels: Annotated[str, typer.Option(help="Batch sizes and concurrencies, separated by commas")] = "1,2,4,8,16",
    only: Annotated[Half, typer.Option(help="Measure one half alone")] = Half.ALL,
    ct_repository: Annotated[Path, typer.Option(help="Served repository of the CT pipelines")] = CT_REPOSITORY,
    record: Annotated[bool, typer.Option(help="Write bench/results/ and docs/benchmarks.md")] = True,
) -> None:
    """Measure (a) to (d), films, and (e) to (i), CT, one after the other on an otherwise idle machine."""
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
            spine=None if only is Half.CT else run_all(plan, Path(folder), _say),
            ct=None if only is Half.SPINE else measured_ct(plan, Path(folder), _say),
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


def _record(measured: Recorded) -> None:
    machine = next(half.machine for half in (measured.spine, measured.ct) if half)
    cpu = "".join(letter if letter.isalnum() else "-" for letter in machine.cpu.lower()).strip("-")
    write(measured, RECORDED / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{cpu}.json")
    write_report()


if __name__ == "__main__":
    app()
