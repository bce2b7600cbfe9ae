"""A served repository in, what the bundle says of it out; refused when it is not as its manifest says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundle.archive import Entry
from bundle.errors import BundleError
from radserve_triton.errors import RepositoryInvalid
from radserve_triton.repository import MANIFEST, sha256
from radserve_triton.verify import verify

PROVENANCE = "provenance.json"


@dataclass(frozen=True, slots=True)
class Network:
    """A graph file of a model. ``weights`` is ``trained``, ``UNTRAINED`` or ``none`` (a fusion has no weights)."""

    model: str
    version: str
    file: str
    sha256: str
    weights: str
    architecture: str | None


@dataclass(frozen=True, slots=True)
class Served:
    """A served repository that was held against its manifest."""

    folder: Path
    manifest_sha256: str
    trained: bool
    pipelines: tuple[str, ...]
    files: tuple[str, ...]
    networks: tuple[Network, ...]

    @property
    def release(self) -> str:
        """Twelve digits that no other release has: the tag of its image."""
        return self.manifest_sha256[:12]

    def entries(self) -> list[Entry]:
        """Its files and its manifest, as they are, and the empty version folder that Triton wants of an ensemble."""
        files = [Entry(f"repository/{name}", self.folder / name) for name in (MANIFEST, *self.files)]
        empty = [path for path in self.folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
        return files + [Entry(f"repository/{path.relative_to(self.folder).as_posix()}", None) for path in empty]


def read(folder: Path) -> Served:
    """Hold the repository against its manifest and read what is in it.

    Raises
    ------
    BundleError
        It is not as its manifest says, or the manifest is not as ``radserve-export`` writes it.
    """
    try:
        verify(folder)
    except RepositoryInvalid as error:
        raise BundleError(str(error)) from error
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        return Served(
            folder=folder,
            manifest_sha256=sha256(folder / MANIFEST),
            trained=bool(manifest["trained"]),
            pipelines=tuple(item["pipeline"] for item in manifest["pipelines"]),
            files=tuple(item["path"] for item in manifest["files"]),
            networks=tuple(_networks(folder, manifest)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST} is not a manifest as radserve-export writes it: {error!r}") from error


def _networks(folder: Path, manifest: dict[str, list[dict[str, str]]]) -> Iterator[Network]:
    """Every file of a version folder that its provenance calls a graph."""
    digests = {item["path"]: item["sha256"] for item in manifest["files"]}
    for path in digests:
        model, _, rest = path.partition("/")
        version, _, name = rest.partition("/")
        if name != PROVENANCE:
            continue
        told = json.loads((folder / path).read_text("utf-8"))
        for file in told["graphs"]:
            digest = digests[f"{model}/{version}/{file}"]
            yield Network(model, version, file, digest, told["weights"], told["architecture"])
