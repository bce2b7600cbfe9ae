"""``radserve evaluate``: options in; figures on stdout, two files in a folder, advice on stderr, an exit code out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radserve_client.errors import ClientError
from radserve_client.outcome import ExitCode

if TYPE_CHECKING:
    from radserve_client.evaluate.evaluation import Request
    from radserve_client.evaluate.values import Evaluation


def evaluate(
    results: Annotated[Path, typer.Argument(exists=True, metavar="RESULTS", help="--out of radserve score.")],
    labels: Annotated[Path, typer.Option(exists=True, metavar="FILE", help="The label file; for masks their folder.")],
    out: Annotated[Path, typer.Option(file_okay=False, metavar="DIR", help="evaluation.json and report.html go here.")],
    labels_format: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="Format of the labels; else known by its header.")
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="What of a row names its label: sop, series, study, file, folder, prefix, suffix, path,"
            " manifest.COLUMN; else as the format has it.",
        ),
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="Only its rows, when RESULTS has several.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only its rows, when RESULTS has several.")] = None,
    digest: Annotated[
        list[str] | None, typer.Option(metavar="HEX", help="Only rows of the model whose digest begins so.")
    ] = None,
    patient_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the results that says whose a row is.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Of the bootstrap; 0: no intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
) -> None:
    """Hold RESULTS against the labels in FILE: figures with intervals, as JSON and as a page.

    Patients are resampled as a whole. Exit codes: 0 done, 1 failed, 2 usage: another option is needed, 130 interrupted.
    """
    _need_libraries()
    from radserve_client.evaluate.dataset import Wanted
    from radserve_client.evaluate.evaluation import Request
    from radserve_client.evaluate.values import Resampling

    request = Request(
        results=results,
        labels=labels,
        labels_format=labels_format,
        match=match,
        patient_column=patient_column,
        wanted=Wanted(pipeline, profile, tuple(digest or ())),
        resampling=Resampling(resamples, seed),
    )
    with _told():
        _run(request, out)


def _run(request: Request, out: Path) -> None:
    from radserve_client.evaluate import document, evaluation, report, summary

    document.make_folder(out)
    found: Evaluation = evaluation.evaluate(request)
    texts = {document.JSON_NAME: document.as_json(found), document.REPORT_NAME: report.render(found)}
    paths = document.write(out, texts)
    for line in summary.lines(found):
        typer.echo(line)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    for path in paths:
        typer.echo(f"wrote {path}", err=True)


def _need_libraries() -> None:
    try:
        import radserve_client.evaluate.evaluation
        import radserve_client.evaluate.report  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("radserve"):
            raise
        typer.echo(
            f"radserve: evaluate needs {error.name}, which is not installed here."
            " Install it with: pip install 'radserve-client[evaluate]'",
            err=True,
        )
        raise typer.Exit(ExitCode.FAILED) from None


@contextmanager
def _told() -> Iterator[None]:
    """Errors as one message on stderr and an exit code."""
    try:
        yield
    except ClientError as error:
        typer.echo(f"radserve: {error.code}: {error.message}", err=True)
        raise typer.Exit(ExitCode.USAGE if getattr(error, "is_usage", False) else ExitCode.FAILED) from None
    except KeyboardInterrupt:
        typer.echo("radserve: interrupted", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
