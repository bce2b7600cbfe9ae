"""The ``radserve`` command: options in; data on stdout, progress and advice on stderr, an exit code out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from radserve_client.client import Client
from radserve_client.convert_command import convert
from radserve_client.errors import ClientError, Unreachable
from radserve_client.evaluate.command import evaluate
from radserve_client.in_order import in_order
from radserve_client.outcome import ExitCode, Outcome, exit_code
from radserve_client.overlay_names import MASK_SUFFIX, SUFFIX, overlay_paths
from radserve_client.score.command import score as score_archive
from radserve_client.scoring import Job, PictureQuery, Query, score
from radserve_client.studies import Study, studies_of
from radserve_client.table import print_pipelines, print_table, take_any_name
from radserve_contract.priority import Priority

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

Url = Annotated[str | None, typer.Option(metavar="URL", help="Address of the service; else RADSERVE_CLIENT_URL.")]


class Detect(StrEnum):
    """When the detector runs."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@app.callback()
def root() -> None:
    """Score radiology images with a radserve service. For research use only.

    Exit codes: 0 all well, 1 failed, 2 usage, 3 finished but some files failed, 4 models changed and 5 output in use
    (both of score), 130 interrupted.
    """
    take_any_name(sys.stdout)


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(exists=True, metavar="PATH...")],
    pipeline: Annotated[str, typer.Option(help="Which pipeline reads the files.")] = "spine",
    profile: Annotated[str | None, typer.Option(help="Profile of the pipeline; else its default.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="How urgent; else the service's default.")] = None,
    detect: Annotated[Detect | None, typer.Option(help="When the detector runs; auto: on abnormal films.")] = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Which series, when several are sent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per study, a line each.")] = False,
    overlay: Annotated[Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write a PNG per study.")] = None,
    picture: Annotated[str | None, typer.Option(help="Which picture, of those the pipeline lists.")] = None,
    head: Annotated[str | None, typer.Option(help="Which finding an activation map is of.")] = None,
    scale: Annotated[str | None, typer.Option(help="Colour scale of a heat map: fixed (0 to 1) or auto.")] = None,
    mask: Annotated[Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write NIfTI masks.")] = None,
    url: Url = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Score PATHs: a table of findings on stdout, or JSON lines. A file, a zip or the folder of a CT is one study."""
    jobs = _jobs(studies_of(paths, pipeline), overlay, mask)
    query = Query(pipeline=pipeline, profile=profile, priority=priority, detect=detect, series=series)
    shown = PictureQuery(kind=picture, scale=scale, head=head)
    outcomes: list[Outcome] = []
    with _client(url) as client:
        workers = client.settings.concurrency
        for outcome in in_order(lambda job: score(client, query, job, shown), jobs, workers=workers):
            outcomes.append(outcome)
            _report(outcome, len(outcomes), len(jobs), as_json=as_json, quiet=quiet)
        _finish(outcomes, client, as_json=as_json)


@app.command()
def pipelines(
    as_json: Annotated[bool, typer.Option("--json", help="The service's own JSON.")] = False, url: Url = None
) -> None:
    """List what the service serves."""
    with _client(url) as client:
        try:
            served = client.pipelines()
        except ClientError as error:
            _fail(error, client)
    if as_json:
        _print_json(served.document)
    else:
        print_pipelines(served, Console(file=sys.stdout))


app.command()(convert)
app.command("score")(score_archive)
app.command()(evaluate)


@contextmanager
def _client(url: str | None) -> Iterator[Client]:
    """A client for the length of a command; Ctrl-C ends the command at once with 130."""
    try:
        client = Client(url)
    except (ValueError, OSError) as error:
        typer.echo(f"radserve: {error}", err=True)
        raise typer.Exit(ExitCode.USAGE) from None
    try:
        with client:
            yield client
    except KeyboardInterrupt:
        typer.echo("radserve: interrupted", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _jobs(studies: Sequence[Study], overlay: Path | None, mask: Path | None) -> list[Job]:
    paths = [study.path for study in studies]
    overlays = _targets(paths, overlay, SUFFIX)
    masks = _targets(paths, mask, MASK_SUFFIX)
    return [Job(*job) for job in zip(studies, overlays, masks, strict=True)]


def _targets(paths: Sequence[Path], folder: Path | None, suffix: str) -> Sequence[Path | None]:
    """A file in ``folder``, which is made, for each path; None for each when no folder is wanted."""
    if folder is None:
        return [None] * len(paths)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        typer.echo(f"radserve: cannot make the folder {folder}: {error.strerror or error}", err=True)
        raise typer.Exit(ExitCode.USAGE) from None
    return overlay_paths(paths, folder, suffix)


def _report(outcome: Outcome, number: int, total: int, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        _print_json(outcome.as_document())
    if not quiet:
        typer.echo(f"[{number}/{total}] {outcome.summary()}", err=True)


def _finish(outcomes: Sequence[Outcome], client: Client, *, as_json: bool) -> NoReturn:
    """Table, then what the reader must know, then the exit code."""
    if not as_json:
        print_table(outcomes, Console(file=sys.stdout))
    for notice in dict.fromkeys(notice for outcome in outcomes if outcome.answer for notice in outcome.answer.notices):
        typer.echo(notice, err=True)
    unreachable = [outcome.error for outcome in outcomes if isinstance(outcome.error, Unreachable)]
    if unreachable:
        typer.echo(_advice(unreachable[0], client), err=True)
    raise typer.Exit(exit_code(outcomes))


def _fail(error: ClientError, client: Client) -> NoReturn:
    message = _advice(error, client) if isinstance(error, Unreachable) else f"radserve: {error.code}: {error.message}"
    typer.echo(message, err=True)
    raise typer.Exit(ExitCode.FAILED)


def _advice(error: Unreachable, client: Client) -> str:
    return (
        f"radserve: {error.message}\n"
        f"Is the service running there? `make serve` starts one on this machine; for another address set"
        f" RADSERVE_CLIENT_URL or --url (now {client.url})."
    )


def _print_json(value: Any) -> None:
    print(json.dumps(value), flush=True)  # ASCII: a file name need not be valid in any encoding
