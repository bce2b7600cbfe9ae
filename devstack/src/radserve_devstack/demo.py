"""``radserve-demo``: films in (or none: then it draws two), findings, JSON files and overlays out, through Triton."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.panel import Panel

from radserve_client.client import Client
from radserve_client.errors import Refused
from radserve_client.in_order import in_order
from radserve_client.outcome import ExitCode, Outcome
from radserve_client.scoring import Query, score
from radserve_client.table import drawn_table, take_any_name
from radserve_devstack.demo_files import draw_phantoms, plan, sample_radiographs, write_answer
from radserve_devstack.errors import StackError
from radserve_devstack.stack import LOGS, Stack
from radserve_devstack.stopping import stop_on_sigterm

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
QUERY = Query(pipeline="spine", profile=None, priority=None, detect=None)
IN_FLIGHT = 2
PLAIN_WIDTH = 160  # of a log file, where there is no terminal to ask
SERVER_ERROR = 500


@app.command()
def demo(
    files: Annotated[list[Path] | None, typer.Argument(exists=True, dir_okay=False, metavar="[FILE...]")] = None,
    repository: Annotated[Path, typer.Option(help="Served repository.")] = Path(".radserve/repository"),
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for what comes out.")] = Path("demo"),
    samples: Annotated[
        Path, typer.Option(help="Sample data; its radiographs are scored too, when it is there.")
    ] = Path("../shared/data"),
    logs: Annotated[Path, typer.Option(help="Folder for the servers' logs.")] = LOGS,
) -> None:
    """Score FILEs through a real Triton server; without FILEs two synthetic films, and the sample radiographs.

    Exit codes: 0 all scored (samples may be refused), 1 failed, 2 usage, 3 some failed, 130 interrupted.
    """
    stop_on_sigterm()
    take_any_name(sys.stdout)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    try:
        films = list(files) if files else draw_phantoms(output, again=True)
        radiographs = [] if files else sample_radiographs(samples)
        console.print(f"starting tritonserver and the service on {repository} ...")
        with Stack(repository, logs=logs) as stack, Client(stack.service_url) as client:
            own = score_all(client, films, output, console)
            others = score_all(client, radiographs, output / "samples", console)
    except StackError as error:
        typer.echo(f"radserve-demo: {error}", err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    report(own, others, output, console)
    raise typer.Exit(exit_code(own, others))


def score_all(client: Client, files: Sequence[Path], folder: Path, console: Console) -> list[Outcome]:
    """Score the files; write ``folder/<name>.json`` for each, and ``.overlay.png`` for those that have findings."""
    if not files:
        return []
    jobs = plan(files, folder)
    began = time.monotonic()
    outcomes = list(in_order(lambda job: score(client, QUERY, job), jobs, workers=IN_FLIGHT))
    films = "1 film" if len(files) == 1 else f"{len(files)} films"
    console.print(f"{films} in {time.monotonic() - began:.1f} s, findings and overlays")
    for job, outcome in zip(jobs, outcomes, strict=True):
        write_answer(job, outcome)
    return outcomes


def report(own: Sequence[Outcome], others: Sequence[Outcome], output: Path, console: Console) -> None:
    """Tables, where the files are, and what nobody may miss."""
    console.print()
    console.print(drawn_table(own))
    for outcome in own:
        if outcome.error:
            console.print(outcome.summary(), markup=False)
    if others:
        console.print(f"\n{len(others)} real radiographs of the sample folder; most show no spine and are refused:\n")
        console.print(drawn_table(others, name=lambda file: file.name))
    console.print(f"\nanswers, reasons and overlays: {output}/", markup=False)
    if notices := _notices([*own, *others]):
        console.print(Panel("\n".join(notices), style="bold red", expand=False))


def exit_code(own: Sequence[Outcome], others: Sequence[Outcome]) -> ExitCode:
    """FAILED when no film of ours was scored, SOME_FAILED when one was not, or the service broke on a sample.

    A sample that is refused (4xx) is as it should be.
    """
    failed = [outcome for outcome in own if outcome.error]
    broken = [outcome for outcome in others if outcome.error and not _is_refused(outcome)]
    if not failed and not broken:
        return ExitCode.OK
    return ExitCode.FAILED if len(failed) == len(own) else ExitCode.SOME_FAILED


def _is_refused(outcome: Outcome) -> bool:
    return isinstance(outcome.error, Refused) and outcome.error.http_status < SERVER_ERROR


def _notices(outcomes: Iterable[Outcome]) -> list[str]:
    """Each notice once, in the order they came."""
    return list(dict.fromkeys(notice for outcome in outcomes if outcome.answer for notice in outcome.answer.notices))
