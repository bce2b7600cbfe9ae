"""``radserve score``: options in; rows in a folder, progress on stderr, an exit code out. What it needs is optional."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from radserve_client.outcome import ExitCode
from radserve_client.score.errors import RunError
from radserve_client.score.extras import need
from radserve_client.score.options import Detect, EngineName, Grouping, OnModelChange, RunOptions, Store, Via, bytes_of
from radserve_client.score.way import Ask
from radserve_client.settings import ClientSettings, load_settings

WIDEST = 1024


def _size(text: str | int) -> int:
    """Typer gives the default, a number, here too."""
    try:
        return bytes_of(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def score(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Folder, glob, manifest (CSV, Parquet) or DICOMweb.")],
    pipeline: Annotated[str, typer.Option(help="Which pipeline reads the items.")],
    out: Annotated[Path, typer.Option(file_okay=False, metavar="DIR", help="Where the results go; also to go on.")],
    profile: Annotated[str | None, typer.Option(help="Profile of the pipeline; else its default.")] = None,
    detect: Annotated[Detect | None, typer.Option(help="When the detector runs; auto: on abnormal films.")] = None,
    series: Annotated[str | None, typer.Option(metavar="UID", help="Which series, when an item has several.")] = None,
    group_by: Annotated[Grouping | None, typer.Option(help="What one item is; else as the pipeline needs.")] = None,
    path_column: Annotated[str | None, typer.Option(metavar="NAME", help="Manifest column of paths or URLs.")] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Keep a PNG per item.")] = False,
    mask: Annotated[bool, typer.Option("--mask", help="Keep a NIfTI mask per item.")] = False,
    store: Annotated[Store, typer.Option(help="Pictures and masks as files, or in zips.")] = Store.FOLDER,
    hash_ids: Annotated[
        Path | None, typer.Option(metavar="KEYFILE", help="Write paths and UIDs as hashes made with this key.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try every failed item again.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read done items again; score those that changed.")] = False,
    on_model_change: Annotated[
        OnModelChange, typer.Option(help="Other models than those of the rows: stop (exit code 4), or record both.")
    ] = OnModelChange.STOP,
    patience: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="Wait so long for a server that is away.")
    ] = 1800.0,
    via: Annotated[Via, typer.Option(help="Ask a radserve service, or Triton with decoders on this machine.")] = (
        Via.SERVICE
    ),
    url: Annotated[str | None, typer.Option(metavar="URL", help="Of the service; else RADSERVE_CLIENT_URL.")] = None,
    triton: Annotated[
        list[str] | None, typer.Option(metavar="HOST:PORT", help="Triton's gRPC address; may be repeated.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode (--via triton); else by the cores.")
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="On this machine, or on a Ray cluster.")] = EngineName.LOCAL,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Of a Ray cluster; else one is started here.")
    ] = None,
    window: Annotated[
        int, typer.Option(min=1, max=WIDEST, help="Most items with the server at once; fewer when it is busy.")
    ] = 64,
    in_flight_bytes: Annotated[
        int, typer.Option(parser=_size, metavar="SIZE", help="Most bytes of items in memory, such as 512M.")
    ] = 512 * 1024**2,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve Prometheus metrics of the run; 0: a free port.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where they are served.")] = "127.0.0.1",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Score an archive into a Parquet dataset; the same command again goes on where it was stopped. See docs/score.md.

    Exit codes: 0 all well, 1 could not go on or nothing scored, 2 usage, 3 some items failed, 4 models changed,
    5 another run writes there, 130 interrupted.
    """
    with _told():
        options = RunOptions(
            source=source,
            out=out,
            ask=Ask(pipeline, profile, detect.value if detect else None, series, overlay=overlay, mask=mask),
            url=url,
            via=via,
            triton=tuple(triton or ()),
            workers=workers,
            engine=engine,
            ray_address=ray_address,
            group_by=group_by,
            path_column=path_column,
            hash_ids=hash_ids,
            store=store,
            retry_failed=retry_failed,
            verify=verify,
            on_model_change=on_model_change,
            patience_s=patience,
            in_flight_bytes=in_flight_bytes,
            window=window,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
            quiet=quiet,
        )
        code = _run(options, _settings())
    raise typer.Exit(code)


def _run(options: RunOptions, settings: ClientSettings) -> ExitCode:
    """The run, shown on stderr."""
    need("batch", "radserve score")
    from radserve_client.score.interrupts import Interrupts
    from radserve_client.score.progress import progress_on
    from radserve_client.score.run import run

    title = f"{options.ask.pipeline} via {options.via.value}"
    with Interrupts() as interrupts, progress_on(sys.stderr, quiet=options.quiet, title=title) as progress:
        return run(options, settings, progress, interrupts)


def _settings() -> ClientSettings:
    try:
        return load_settings()
    except ValueError as error:
        typer.echo(f"radserve: {error}", err=True)
        raise typer.Exit(ExitCode.USAGE) from None


@contextmanager
def _told() -> Iterator[None]:
    """What ends a run as one line on stderr and an exit code."""
    try:
        yield
    except RunError as error:
        _say(error.message)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("interrupted; the same command goes on from here")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


def _say(text: str) -> None:
    """A line on stderr. When nobody reads it any more (a closed pipe), the exit code still says it."""
    with suppress(OSError):
        typer.echo(f"radserve: {text}", err=True)
