"""``radserve convert``: options in; files out, a line for each on stdout, warnings on stderr, an exit code."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from radserve_client.outcome import ExitCode

if TYPE_CHECKING:
    from radserve_client.convert import Converted, Failed

_DECODERS = "radserve_preproc"


def convert(
    series: Annotated[Path, typer.Argument(exists=True, metavar="SERIES", help="A file, a zip, or a folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="OUT.nii.gz; with --all a folder.")],
    every: Annotated[bool, typer.Option("--all", help="Each series and each NIfTI file, into the folder OUT.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave tilt, gaps and uneven distances as they are.")] = False,
    png: Annotated[
        Path | None, typer.Option(file_okay=False, metavar="DIR", help="Write each slice as PNG too.")
    ] = None,
    uid: Annotated[
        str | None, typer.Option("--series", metavar="UID", help="Which series, when there are several.")
    ] = None,
) -> None:
    """Convert SERIES to NIfTI with its true place, and a JSON of facts beside it, on this machine: no service is asked.

    The volume is in Hounsfield units, its axes in the order of an axial DICOM series (left, back, head).
    """
    _check_usage(out, every=every, uid=uid)
    _need_decoders()
    from radserve_client import convert as converting  # the decoders are large, and optional

    with _told():
        if not every:
            _tell(converting.convert(series, out, keep=keep, png=png, series=uid))
            return
        results = []
        for result in converting.convert_all(series, out, keep=keep, png=png):
            results.append(result)
            _tell(result)
    failures = sum(isinstance(result, converting.Failed) for result in results)
    if failures:
        raise typer.Exit(ExitCode.FAILED if failures == len(results) else ExitCode.SOME_FAILED)


def _check_usage(out: Path, *, every: bool, uid: str | None) -> None:
    if every and uid is not None:
        raise typer.BadParameter("--all converts every series; leave --series out")
    if not every and not out.name.endswith(".nii.gz"):
        raise typer.BadParameter("OUT must end in .nii.gz, or be a folder with --all")
    if every and out.exists() and not out.is_dir():
        raise typer.BadParameter("with --all OUT is a folder; there is a file of that name")


def _need_decoders() -> None:
    if importlib.util.find_spec(_DECODERS) is None:
        typer.echo(
            "radserve: convert needs the decoders of the service, which are not installed here."
            " Install them with: pip install 'radserve-client[local]'",
            err=True,
        )
        raise typer.Exit(ExitCode.FAILED)


@contextmanager
def _told() -> Iterator[None]:
    """Errors as one line on stderr and an exit code."""
    from radserve_preproc.errors import RadserveError

    try:
        yield
    except RadserveError as error:
        typer.echo(f"radserve: {error.code}: {error.message}", err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    except OSError as error:
        typer.echo(f"radserve: {error.filename or 'a file'}: {error.strerror or error}", err=True)
        raise typer.Exit(ExitCode.FAILED) from None
    except KeyboardInterrupt:
        typer.echo("radserve: interrupted", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _tell(result: Converted | Failed) -> None:
    from radserve_client.convert import Failed

    if isinstance(result, Failed):
        typer.echo(f"radserve: {result.source}: {result.code}: {result.message}", err=True)
        return
    typer.echo(f"{result.path}: {result.summary}")
    for notice in result.warnings:
        typer.echo(f"{result.path}: {notice.code}: {notice.message}", err=True)
