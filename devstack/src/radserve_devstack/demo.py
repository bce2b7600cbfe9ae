"""``radserve-demo``: studies in (or none: then it draws some), findings, JSON files and pictures out."""

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
from radserve_client.studies import Study, studies_of
from radserve_client.table import drawn_table, take_any_name
from radserve_devstack.demo_files import plan, samples_folder, write_answer
from radserve_devstack.demo_studies import STUDIES, draw_phantoms, sample_studies
from radserve_devstack.errors import StackError
from radserve_devstack.stack import LOGS, Stack
from radserve_devstack.stopping import stop_on_sigterm

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
IN_FLIGHT = 2
PLAIN_WIDTH = 160  # of a log file, where there is no terminal to ask
SERVER_ERROR = 500


@app.command()
def demo(
    paths: Annotated[list[Path] | None, typer.Argument(exists=True, metavar="[PATH...]")] = None,
    pipeline: Annotated[str, typer.Option(help=f"One of: {', '.join(STUDIES)}.")] = "spine",
    repository: Annotated[Path, typer.Option(help="Served repository.")] = Path(".radserve/repository"),
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for what comes out.")] = Path("demo"),
    samples: Annotated[
        Path, typer.Option(help="Sample data; what suits the pipeline is scored too, when it is there.")
    ] = Path("../shared/data"),
    logs: Annotated[Path, typer.Option(help="Folder for the servers' logs.")] = LOGS,
) -> None:
    """Score PATHs (files, zips, folders of a CT) through a real Triton server; without them phantoms and samples.

    Exit codes: 0 all scored (samples may be refused), 1 failed, 2 usage, 3 some failed, 130 interrupted.
    """
    stop_on_sigterm()
    take_any_name(sys.stdout)
    if pipeline not in STUDIES:
        raise typer.BadParameter(f"no pipeline {pipeline!r}; there is: {', '.join(STUDIES)}", param_hint="--pipeline")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    try:
        mine = studies_of(paths, pipeline) if paths else draw_phantoms(pipeline, output, again=True)
        real = [] if paths else sample_studies(pipeline, samples)
        console.print(f"starting tritonserver and the service on {repository} ...")
        with Stack(repository, logs=logs) as stack, Client(stack.service_url) as client:
            query = Query(pipeline=pipeline, profile=None, priority=None, detect=None, series=None)
            own = score_all(client, query, mine, output, console)
            others = score_all(client, query, real, samples_folder(output, pipeline), console)
    except StackError as error:
        typer.echo(f"radserve-demo: {error}", err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    report(own, others, output, console)
    raise typer.Exit(exit_code(own, others))


def score_all(client: Client, query: Query, studies: Sequence[Study], folder: Path, console: Console) -> list[Outcome]:
    """Score the studies; write ``folder/<name>.json`` for each, and ``.overlay.png`` for those that have findings."""
    if not studies:
        return []
    jobs = plan(studies, folder)
    began = time.monotonic()
    outcomes = list(in_order(lambda job: score(client, query, job), jobs, workers=IN_FLIGHT))
    counted = "1 study" if len(studies) == 1 else f"{len(studies)} studies"
    console.print(f"{counted} in {time.monotonic() - began:.1f} s, findings and overlays")
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
        console.print(
            f"\n{len(others)} real studies of the sample folder; what is unfit for the pipeline is refused:\n"
        )
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
