"""``radserve-serve``: a served repository in, both servers up until Ctrl-C, and the lines to try them with out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from radserve_client.studies import Study
from radserve_devstack.demo_files import make_folder
from radserve_devstack.demo_studies import draw_phantoms, served_pipelines
from radserve_devstack.errors import StackError
from radserve_devstack.ports import Ports
from radserve_devstack.stack import LOGS, Stack
from radserve_devstack.stopping import stop_on_sigterm

app = typer.Typer(add_completion=False)
POLL_S = 1.0
DEFAULT_PIPELINE = "spine"  # of `radserve predict`


def _port(what: str) -> Any:
    return typer.Option(help=f"{what}; 0 takes a free one.", min=0, max=65535)


@app.command()
def serve(
    repository: Annotated[Path, typer.Option(help="Served repository.")] = Path(".radserve/repository"),
    host: Annotated[str, typer.Option(help="Address the service listens on; Triton stays on 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, _port("Port of the service")] = 8080,
    grpc_port: Annotated[int, _port("Triton's gRPC port")] = 8001,
    http_port: Annotated[int, _port("Triton's HTTP port")] = 8000,
    metrics_port: Annotated[int, _port("Triton's metrics port")] = 8002,
    logs: Annotated[Path, typer.Option(help="Folder for the servers' logs.")] = LOGS,
    films: Annotated[Path, typer.Option(help="Folder for synthetic studies to try it with.")] = Path("demo"),
) -> None:
    """Keep Triton and the service up until Ctrl-C.

    Exit codes: 0 stopped on request, 1 a server did not start or ended by itself, 2 usage.
    """
    stop_on_sigterm()
    stack = Stack(repository, ports=Ports(port, grpc_port, http_port, metrics_port), host=host, logs=logs)
    typer.echo(f"starting tritonserver and the service on {repository} ...", err=True)
    try:
        make_folder(films)
        examples = {name: draw_phantoms(name, films, again=False)[-1] for name in served_pipelines(repository)}
        with stack:
            typer.echo(_welcome(stack, logs, examples))
            while True:
                time.sleep(POLL_S)
                stack.check_alive()
    except StackError as error:
        typer.echo(f"radserve-serve: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("both servers have stopped", err=True)


def _welcome(stack: Stack, logs: Path, examples: Mapping[str, Study]) -> str:
    url = stack.service_url
    lines = "\n\n".join(_lines(url, name, study) for name, study in examples.items())
    return f"""\
ready. For research use only.

  service   {url}        (API page: {url}/docs)
  Triton    {stack.triton_address} gRPC, {stack.triton_metrics_url}
  logs      {logs}/

in another terminal, with a synthetic study or one of yours:

{lines}

Ctrl-C stops both."""


def _lines(url: str, pipeline: str, study: Study) -> str:
    """What to type to try a pipeline."""
    address = f"{url}/v1/pipelines/{pipeline}/predict"
    option = "" if pipeline == DEFAULT_PIPELINE else f" --pipeline {pipeline}"
    return f"""\
  curl -F file=@{study.files[0]} {address}
  curl -F file=@{study.files[0]} -H 'Accept: image/png' -o overlay.png {address}
  .venv/bin/radserve predict {study.path}{option} --url {url}"""
