"""``python -m bundle``: a served repository in, one archive for a site without internet out; run by ``make bundle``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from bundle import archive
from bundle.contents import Plan, collect
from bundle.errors import BundleError
from bundle.wheels import sha256_of

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY, WHEELS = ROOT / ".radserve" / "repository", ROOT / ".radserve" / "wheels"
WITHOUT_GIT = 1_577_836_800  # 2020-01-01: archives have to have some time, and zip files one after 1980
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bundle(
    repository: Annotated[Path, typer.Option(help="Served repository.")] = REPOSITORY,
    output: Annotated[Path, typer.Option(file_okay=False, help="Folder for the archive.")] = ROOT / "dist",
    cache: Annotated[Path, typer.Option(file_okay=False, help="Folder that keeps wheels.")] = WHEELS,
    modified_s: Annotated[
        int | None,
        typer.Option(envvar="SOURCE_DATE_EPOCH", min=0, help="Time of all files, seconds; default: the last commit's."),
    ] = None,
) -> None:
    """Write OUTPUT/radserve-*.tar and its .sha256. The same sources, repository and time give the same bytes.

    Exit codes: 0 written, 1 not, 2 usage.
    """
    time_s = _last_commit_s(ROOT) if modified_s is None else modified_s
    try:
        with TemporaryDirectory(prefix="radserve-bundle-") as scratch:
            made = collect(Plan(ROOT, repository, cache, Path(scratch), time_s))
            target = output / f"{made.name}.tar"
            sums = archive.write(made.entries, target, root=made.name, modified_s=time_s)
    except BundleError as error:
        typer.echo(f"bundle: {error}", err=True)
        raise typer.Exit(1) from None
    digest = sha256_of(target)
    target.with_name(f"{target.name}.sha256").write_text(f"{digest}  {target.name}\n", "utf-8")
    typer.echo(f"{target}: {len(sums)} files, {target.stat().st_size / 1e6:.0f} MB\nSHA-256 {digest}")
    typer.echo("Container images are not in it: images.txt names them, INSTALL.md says how to bring them.")


def _last_commit_s(root: Path) -> int:
    """Time of the last commit, in seconds since 1970; a fixed time where there is no git or no commit."""
    command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return WITHOUT_GIT
    return int(run.stdout) if run.returncode == 0 and run.stdout.strip().isdigit() else WITHOUT_GIT


if __name__ == "__main__":
    app()
