"""The command ``radserve-triton``: one plain line per fact on standard output, errors on standard error.

Exit status: 0 stopped on request (SIGTERM), 130 stopped by Ctrl-C, 1 the server did not start or ended by itself,
2 wrong usage or setting.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.models import OptionInfo

from radserve_triton.errors import ServerError, StartFailed
from radserve_triton.repository import summarise
from radserve_triton.runtime import TritonRuntime, find_runtime
from radserve_triton.server import TritonServer
from radserve_triton.settings import Log, ServerSettings, load_settings
from radserve_triton.verify import verify


def _option(name: str) -> OptionInfo:
    """An option that stands for the setting of that name, and says what the setting says."""
    field = ServerSettings.model_fields[name]
    default = f"; default: {field.default}" if field.default not in (None, "") else ""
    option: OptionInfo = typer.Option(help=f"{field.description}{default}")
    return option


app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)
INTERRUPTED = 130
STOPPING = (signal.SIGINT, signal.SIGTERM)


@app.callback()
def main() -> None:
    """Start, prove and stop the real Triton server."""


@app.command()
def serve(
    repository: Annotated[Path | None, _option("repository")] = None,
    runtime: Annotated[Path | None, _option("runtime")] = None,
    host: Annotated[str | None, _option("host")] = None,
    grpc_port: Annotated[int | None, _option("grpc_port")] = None,
    http_port: Annotated[int | None, _option("http_port")] = None,
    metrics_port: Annotated[int | None, _option("metrics_port")] = None,
    variant: Annotated[str | None, _option("variant")] = None,
    verify: Annotated[bool | None, _option("verify")] = None,
    log: Annotated[Log | None, _option("log")] = None,
) -> None:
    """Serve a repository until SIGTERM or Ctrl-C. Every option is a RADSERVE_SERVER_* variable too."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, _stop_on_request)
    try:
        settings = load_settings(
            repository=repository,
            runtime=runtime,
            host=host,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            variant=variant,
            verify=verify,
            log=log,
        )
        _report(settings)
        _run(settings)
    except ServerError as error:
        _fail(f"{error.code}: {error}", error.exit_status)
    except KeyboardInterrupt:
        _say("stopped by Ctrl-C")
        raise typer.Exit(INTERRUPTED) from None


@app.command("verify")
def verify_repository(
    repository: Annotated[Path, typer.Argument(help="the served repository")],
    manifest_sha256: Annotated[str, typer.Option(help="SHA-256 that manifest.json must have")] = "",
    variant: Annotated[str, typer.Option(help="engine variant that must be there")] = "",
    model: Annotated[list[str] | None, typer.Option(help="model that must be there; may be repeated")] = None,
) -> None:
    """Hold every file of a repository against its manifest.json, without starting anything."""
    try:
        _say(verify(repository, manifest_sha256=manifest_sha256, variant=variant, models=model or ()))
    except ServerError as error:
        _fail(f"{error.code}: {error}", error.exit_status)


def _run(settings: ServerSettings) -> NoReturn:
    with TritonServer(settings) as server:
        if settings.verify:
            _say("repository is as its manifest.json says")
        _say("self test: known answer given")
        _say(f"ready: gRPC {server.grpc_address}, HTTP {server.http_url}, metrics {server.metrics_url}")
        raise StartFailed(f"tritonserver ended by itself: {server.process.reason()}")


def _report(settings: ServerSettings) -> None:
    summary = summarise(settings.repository)
    size = f"{summary.files} files, {summary.size_bytes / 1e6:.0f} MB"
    _say(f"repository {settings.repository}: {size}, models {', '.join(summary.models)}")
    runtime = find_runtime(settings.runtime)
    _say(f"runtime {runtime.prefix}: Python {runtime.python}, {', '.join(_versions(runtime))}")
    device = "a GPU where there is one" if runtime.has_cuda else "the CPU (onnxruntime-gpu is not installed there)"
    _say(f"networks run on {device}")


def _versions(runtime: TritonRuntime) -> list[str]:
    wanted = ("nvidia-pytriton", "onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "numpy")
    found = {item.name: item.version for item in distributions(path=[str(runtime.packages)])}
    return [f"{name} {found[name]}" for name in wanted if name in found]


def _stop_on_request(received: int, _frame: FrameType | None) -> NoReturn:
    """SIGTERM or Ctrl-C: leave through the ``with``, which stops the server; a second one changes nothing."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # not print: the signal may have come while it was writing, and it cannot be entered twice
        os.write(sys.stdout.fileno(), b"radserve-triton: stopping\n")
    raise KeyboardInterrupt if received == signal.SIGINT else SystemExit(0)


def _say(text: str) -> None:
    print(f"radserve-triton: {text}", flush=True)


def _fail(text: str, status: int) -> NoReturn:
    typer.echo(f"radserve-triton: {text}", err=True)
    raise typer.Exit(status)
