"""A served repository in, exit status 0 out when it is whole and what was asked for; standard library alone.

``python3 -m radserve_triton.verify FOLDER`` runs in the production image before Triton starts (helm/radserve), where
nothing but Python is installed. ``radserve-triton verify`` does the same on a workstation.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from radserve_triton.errors import RepositoryInvalid
from radserve_triton.repository import MANIFEST, require_variant, sha256, summarise, verify_manifest


def verify(repository: Path, *, manifest_sha256: str = "", variant: str = "", models: Sequence[str] = ()) -> str:
    """Hold a repository against its manifest, and against what is wanted of it; one line about it.

    Parameters
    ----------
    repository
        Folder with ``manifest.json``.
    manifest_sha256
        SHA-256 that ``manifest.json`` itself must have, as hexadecimal text; empty for any.
    variant
        Engine variant that some model must have; empty for none.
    models
        Models that must be there.

    Raises
    ------
    RepositoryInvalid
        Naming the first thing that is not so.
    """
    summary = summarise(repository)
    _require_manifest(repository / MANIFEST, manifest_sha256)
    verify_manifest(repository)
    if missing := [name for name in models if name not in summary.models]:
        raise RepositoryInvalid(
            f"{repository} has no {', '.join(missing)}, which the pipelines need; it has {', '.join(summary.models)}:"
            " publish them too, or serve fewer pipelines"
        )
    if variant:
        require_variant(repository, variant)
    size = f"{summary.files} files, {summary.size_bytes / 1e6:.0f} MB"
    return f"{repository}: {size}, as its {MANIFEST} says; models {', '.join(summary.models)}"


def _require_manifest(manifest: Path, wanted: str) -> None:
    if not manifest.is_file():
        raise RepositoryInvalid(f"{manifest} is missing, so nothing shows that the repository is whole")
    if wanted and (got := sha256(manifest)) != wanted:
        raise RepositoryInvalid(f"{manifest} has SHA-256 {got}, wanted {wanted}: this is another release")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one repository; 0 when it is all right, 1 with the reason on standard error when not."""
    parser = argparse.ArgumentParser(
        prog="radserve_triton.verify", description="Hold a served repository against its manifest."
    )
    parser.add_argument("repository", type=Path)
    parser.add_argument("--manifest-sha256", default="", help="SHA-256 that manifest.json must have")
    parser.add_argument("--variant", default="", help="engine variant that must be there")
    parser.add_argument("--model", action="append", default=[], help="model that must be there; may be repeated")
    given = parser.parse_args(arguments)
    try:
        told = verify(
            given.repository, manifest_sha256=given.manifest_sha256, variant=given.variant, models=given.model
        )
    except RepositoryInvalid as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        return error.exit_status
    print(told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
