"""``radserve-export``: a command line in, a served repository out. Progress on stderr, the table on stdout.

Exit codes: 0 done, 1 a step failed (the served repository is as it was), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from radserve_contract.pipelines import PIPELINES, pipeline
from radserve_contract.spec import PipelineSpec, Profile
from radserve_export.errors import ExportError
from radserve_export.formats import GraphFormat
from radserve_export.progress import StepReport

if TYPE_CHECKING:  # torch takes seconds to import; wrong usage and --help need none of it
    from radserve_export.networks import Measurement
    from radserve_export.steps import Order, Proofs

DEFAULT_REPOSITORY = Path(".radserve/repository")
DEFAULT_SOURCE = Path("model_repository")
INTERRUPTED = 130

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="PIPELINE", help=f"One of: {', '.join(p.name for p in PIPELINES)}.")],
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder of trained weights, laid out as the trained system writes it."
        ),
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Seeded weights instead; every answer then says UNTRAINED.")
    ] = False,
    profile: Annotated[
        list[str] | None, typer.Option(help="Profile to export; may be given again. Default: the pipeline's own.")
    ] = None,
    repository: Annotated[
        Path, typer.Option(file_okay=False, help="Served repository to write; replaced as a whole.")
    ] = DEFAULT_REPOSITORY,
    source: Annotated[Path, typer.Option(exists=True, file_okay=False, help="Hand-written configs.")] = DEFAULT_SOURCE,
    graph_format: Annotated[
        GraphFormat, typer.Option("--format", help="torchscript: write TorchScript beside the ONNX graphs.")
    ] = GraphFormat.ONNX,
) -> None:
    """Turn checkpoints into a served Triton repository: fetch, build, torch2onnx, verify, publish."""
    spec = _pipeline(name)
    profiles = _profiles(spec, profile)
    if untrained == (checkpoints is not None):
        raise typer.BadParameter("give either --checkpoints DIR or --untrained")
    _refuse_overlap(source, repository)

    from radserve_export.pipelines import EXPORTS
    from radserve_export.steps import Order

    formats = tuple(dict.fromkeys((GraphFormat.ONNX, graph_format)))
    _run(Order(EXPORTS[name], profiles, checkpoints, source, repository.resolve(), formats))


def _pipeline(name: str) -> PipelineSpec:
    try:
        return pipeline(name)
    except KeyError:
        known = ", ".join(spec.name for spec in PIPELINES)
        raise typer.BadParameter(f"no pipeline {name!r}; there is: {known}", param_hint="PIPELINE") from None


def _profiles(spec: PipelineSpec, names: list[str] | None) -> tuple[Profile, ...]:
    """The profiles asked for, in the order given; the default one when none is."""
    wanted = names or [spec.default_profile]
    known = [profile.name for profile in spec.profiles]
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(
                f"{spec.name} has no profile {name!r}; it has: {', '.join(known)}", param_hint="--profile"
            )
        if wanted.count(name) > 1:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--profile")
    return tuple(spec.profile(name) for name in wanted)


def _refuse_overlap(source: Path, repository: Path) -> None:
    """The repository is replaced as a whole: it must not hold the source, nor lie inside it."""
    inner, outer = source.resolve(), repository.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise typer.BadParameter(f"{repository} and --source {source} overlap", param_hint="--repository")


def _run(order: Order) -> None:
    """Export and print the outcome; a failure is one plain message and exit code 1."""
    from radserve_export.steps import export as run_steps

    console = Console(stderr=True)
    report = StepReport(console)
    try:
        proofs = run_steps(order, report)
    except ExportError as error:
        _fail(console, report.current, error, order)
    except KeyboardInterrupt:
        console.print(f"interrupted in {report.current}; {order.repository} is as it was")
        raise typer.Exit(INTERRUPTED) from None
    _print_outcome(order, proofs)


def _fail(console: Console, step: str, error: ExportError, order: Order) -> NoReturn:
    """Say what failed, and the command that repeats it."""
    console.print(f"[bold red]{step} failed[/] ({error.code}): {escape(str(error))}", soft_wrap=True, highlight=False)
    console.print(f"to repeat: {escape(_command(order))}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _command(order: Order) -> str:
    """The command line of ``order``, with every option written out."""
    weights = ["--untrained"] if order.checkpoints is None else ["--checkpoints", str(order.checkpoints)]
    profiles = [word for profile in order.profiles for word in ("--profile", profile.name)]
    places = ["--repository", str(order.repository), "--source", str(order.source)]
    words = [order.pipeline.SPEC.name, *weights, *profiles, *places, "--format", order.formats[-1]]
    return shlex.join(["radserve-export", *words])


def _print_outcome(order: Order, proofs: Proofs) -> None:
    """Per graph: how close it came to its limits. Then where the repository is and what its weights are."""
    table = Table("model", "graph", "closest to its limit", "label flips")
    for name, graphs in proofs.items():
        for kind, proof in graphs.items():
            table.add_row(name, kind.file_name, _closest(proof.measurements), str(proof.label_flips))
    console = Console()
    console.print(table)
    weights = "UNTRAINED" if order.checkpoints is None else f"from {order.checkpoints}"
    profiles = ", ".join(profile.name for profile in order.profiles)
    console.print(f"{order.repository}: {order.pipeline.SPEC.name} ({profiles}), weights {weights}", soft_wrap=True)


def _closest(measurements: tuple[Measurement, ...]) -> str:
    """The measurement that used up most of what was allowed."""
    limited = [item for item in measurements if item.allowed > 0]
    if not limited:
        return "exact"
    worst = max(limited, key=lambda item: item.measured / item.allowed)
    return f"{worst.quantity}, batch {worst.batch}: {worst.measured:.1e} of {worst.allowed:.0e}"
