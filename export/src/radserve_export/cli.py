"""``radserve-export``: pipelines in, one served repository of them out. Progress on stderr, the table on stdout.

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
    from radserve_export.steps import Proofs, Release

DEFAULT_REPOSITORY = Path(".radserve/repository")
DEFAULT_SOURCE = Path("model_repository")
INTERRUPTED = 130
ALL = "all"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def export(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE...",
            help=f"One or more of: {', '.join(p.name for p in PIPELINES)}; or {ALL}.",
            show_default=False,
        ),
    ],
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            metavar="DIR",
            help="Folder of trained weights, as the trained system writes it; of several pipelines: DIR/PIPELINE.",
        ),
    ] = None,
    untrained: Annotated[
        bool, typer.Option("--untrained", help="Seeded weights instead; every answer then says UNTRAINED.")
    ] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            help="Profile to export, as PIPELINE:PROFILE when there are several pipelines; may be given again. Default:"
            " each pipeline's own."
        ),
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
    specs = _pipelines(names)
    profiles = _profiles(specs, profile or [])
    if untrained == (checkpoints is not None):
        raise typer.BadParameter("give either --checkpoints DIR or --untrained")
    _refuse_overlap(source, repository)

    from radserve_export.pipelines import EXPORTS
    from radserve_export.steps import Order, Release

    orders = tuple(
        Order(EXPORTS[spec.name], profiles[spec.name], _folder(checkpoints, spec, alone=len(specs) == 1))
        for spec in specs
    )
    formats = tuple(dict.fromkeys((GraphFormat.ONNX, graph_format)))
    _run(Release(orders, source, repository.resolve(), formats), checkpoints)


def _pipelines(names: list[str]) -> list[PipelineSpec]:
    """The pipelines asked for, in the order given."""
    if names == [ALL]:
        return list(PIPELINES)
    for name in names:
        if name == ALL:
            raise typer.BadParameter(f"{ALL} means every pipeline; give it alone", param_hint="PIPELINE")
        if names.count(name) > 1:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="PIPELINE")
    return [_pipeline(name) for name in names]


def _pipeline(name: str) -> PipelineSpec:
    try:
        return pipeline(name)
    except KeyError:
        known = ", ".join(spec.name for spec in PIPELINES)
        raise typer.BadParameter(f"no pipeline {name!r}; there is: {known}", param_hint="PIPELINE") from None


def _profiles(specs: list[PipelineSpec], words: list[str]) -> dict[str, tuple[Profile, ...]]:
    """By pipeline, the profiles asked for, in the order given; the default one when none is."""
    wanted: dict[str, list[str]] = {spec.name: [] for spec in specs}
    for word in words:
        owner, _, name = word.rpartition(":")
        if not owner and len(specs) > 1:
            raise typer.BadParameter(
                f"{word!r} of which pipeline? Give PIPELINE:PROFILE, such as {specs[0].name}:{word}",
                param_hint="--profile",
            )
        if owner and owner not in wanted:
            raise typer.BadParameter(
                f"{word!r}: {owner!r} is not exported; these are: {', '.join(wanted)}", param_hint="--profile"
            )
        wanted[owner or specs[0].name].append(name)
    return {spec.name: _profiles_of(spec, wanted[spec.name] or [spec.default_profile]) for spec in specs}


def _profiles_of(spec: PipelineSpec, wanted: list[str]) -> tuple[Profile, ...]:
    known = [profile.name for profile in spec.profiles]
    for name in wanted:
        if name not in known:
            raise typer.BadParameter(
                f"{spec.name} has no profile {name!r}; it has: {', '.join(known)}", param_hint="--profile"
            )
        if wanted.count(name) > 1:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--profile")
    return tuple(spec.profile(name) for name in wanted)


def _folder(checkpoints: Path | None, spec: PipelineSpec, *, alone: bool) -> Path | None:
    """The checkpoints of one pipeline: the folder of its name; a single pipeline's may lie in the given one itself."""
    if checkpoints is None:
        return None
    own = checkpoints / spec.name
    return checkpoints if alone and not own.is_dir() else own


def _refuse_overlap(source: Path, repository: Path) -> None:
    """The repository is replaced as a whole: it must not hold the source, nor lie inside it."""
    inner, outer = source.resolve(), repository.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise typer.BadParameter(f"{repository} and --source {source} overlap", param_hint="--repository")


def _run(release: Release, checkpoints: Path | None) -> None:
    """Export and print the outcome; a failure is one plain message and exit code 1."""
    from radserve_export.steps import export as run_steps

    console = Console(stderr=True)
    report = StepReport(console)
    try:
        proofs = run_steps(release, report)
    except ExportError as error:
        _fail(console, f"{report.current} failed", error, _command(release, checkpoints))
    except KeyboardInterrupt:
        console.print(f"interrupted in {report.current}; {escape(str(release.repository))} is as it was")
        raise typer.Exit(INTERRUPTED) from None
    _print_outcome(release, checkpoints, proofs)


def _fail(console: Console, what: str, error: ExportError, command: str) -> NoReturn:
    """Say what failed, and the command that repeats it."""
    console.print(f"[bold red]{what}[/] ({error.code}): {escape(str(error))}", soft_wrap=True, highlight=False)
    console.print(f"to repeat: {escape(command)}", soft_wrap=True, highlight=False)
    raise typer.Exit(1)


def _command(release: Release, checkpoints: Path | None) -> str:
    """The command line of ``release``, with every option written out."""
    names = [order.pipeline.SPEC.name for order in release.orders]
    weights = ["--untrained"] if checkpoints is None else ["--checkpoints", str(checkpoints)]
    profiles = [
        word
        for order in release.orders
        for profile in order.profiles
        for word in ("--profile", f"{order.pipeline.SPEC.name}:{profile.name}")
    ]
    places = ["--repository", str(release.repository), "--source", str(release.source)]
    return shlex.join(["radserve-export", *names, *weights, *profiles, *places, "--format", release.formats[-1]])


def _print_outcome(release: Release, checkpoints: Path | None, proofs: Proofs) -> None:
    """Per graph: how close it came to its limits. Then where the repository is and what its weights are."""
    table = Table("model", "graph", "closest to its limit", "label flips")
    for name, graphs in proofs.items():
        for kind, proof in graphs.items():
            table.add_row(name, kind.file_name, _closest(proof.measurements), str(proof.label_flips))
    console = Console()
    console.print(table)
    weights = "UNTRAINED" if checkpoints is None else f"from {checkpoints}"
    pipelines = ", ".join(
        f"{order.pipeline.SPEC.name} ({', '.join(profile.name for profile in order.profiles)})"
        for order in release.orders
    )
    console.print(f"{release.repository}: {pipelines}, weights {weights}", soft_wrap=True, markup=False)


def _closest(measurements: tuple[Measurement, ...]) -> str:
    """The measurement that used up most of what was allowed."""
    limited = [item for item in measurements if item.allowed > 0]
    if not limited:
        return "exact"
    worst = max(limited, key=lambda item: item.measured / item.allowed)
    return f"{worst.quantity}, batch {worst.batch}: {worst.measured:.1e} of {worst.allowed:.0e}"
