"""Verified graphs and the source repository in, the served repository out: whole, digested, swapped in at once.

::

    <repository>/manifest.json                SHA-256 and size of every file
    <repository>/<model>/config.pbtxt         from git, plus the radserve_* parameters
    <repository>/<model>/configs/*.pbtxt      engine variants, likewise
    <repository>/<model>/labels.txt, ...      from git; for a detector the checkpoint's class names
    <repository>/<model>/1/model.onnx, provenance.json; of an ensemble, ensemble.txt
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radserve_contract.spec import ModelSpec
from radserve_export.digest import sha256_of_file
from radserve_export.errors import PublishError, SourceError
from radserve_export.formats import GraphFormat
from radserve_export.served_config import VERSION, network_parameters, read_config, runs_torchscript, with_parameters
from radserve_export.staging import MANIFEST, swap_in

CONFIG = "config.pbtxt"
VARIANTS = "configs"
LABELS = "labels.txt"
PROVENANCE = "provenance.json"
NO_GRAPH = "ensemble.txt"
WHY_NO_GRAPH = "Triton wants a version folder of ensembles too, and object stores keep no empty ones.\n"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A Triton model ready to be published.

    ``graphs`` are files of the staging folder by format, which publish moves away; empty for an ensemble. ``trained``
    is None for what has no weights. ``architecture`` as in ``BuiltNetwork``. ``provenance`` is written as JSON beside
    the graph.
    """

    spec: ModelSpec
    graphs: Mapping[GraphFormat, Path] = field(default_factory=dict)
    trained: bool | None = None
    classes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] | None = None
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Places:
    """Where publish reads and writes, and which formats' config variants it publishes.

    ``source`` is the hand-written repository, ``staging`` comes from
    :func:`radserve_export.staging.staging_folder` for the same ``repository``.
    """

    source: Path
    staging: Path
    repository: Path
    formats: frozenset[GraphFormat]


def publish(models: Iterable[ServedModel], about: Mapping[str, Any], places: Places) -> None:
    """Assemble the served repository in ``staging`` and swap it in.

    Parameters
    ----------
    models
        What to publish; nothing else will be in the repository.
    about
        What the manifest says of the whole (pipelines, their profiles, trained).
    places
        Where from and where to.

    Raises
    ------
    SourceError
        When a model has no config, or one that Triton would not parse.
    PublishError
        When something cannot be written. ``repository`` is unchanged.
    """
    tree, repository = places.staging / "repository", places.repository
    try:
        tree.mkdir()
        for model in models:
            _publish_model(model, places.source / model.spec.name, tree / model.spec.name, places.formats)
        _write_json(tree / MANIFEST, {**about, "files": manifest_of(tree)})
    except OSError as error:
        raise PublishError(f"{repository}: cannot be assembled ({error}); it is unchanged") from error
    swap_in(tree, repository)


def check_source(models: Iterable[ModelSpec], source: Path, formats: frozenset[GraphFormat]) -> None:
    """Read every config that publish would read.

    Raises
    ------
    SourceError
        As :func:`publish`.
    """
    for model in models:
        for config in _configs(source / model.name, formats):
            read_config(config, model.name)


def manifest_of(repository: Path) -> list[dict[str, Any]]:
    """Path, SHA-256 and size in bytes of every file of a served repository except the manifest, sorted by path."""
    files = sorted(path for path in repository.rglob("*") if path.is_file() and path != repository / MANIFEST)
    return [
        {"path": path.relative_to(repository).as_posix(), "sha256": sha256_of_file(path), "size": path.stat().st_size}
        for path in files
    ]


def _publish_model(model: ServedModel, source: Path, target: Path, formats: frozenset[GraphFormat]) -> None:
    """One model's folder: its own files, configs with parameters, graphs, provenance."""
    configs = [(path, read_config(path, model.spec.name)) for path in _configs(source, formats)]
    _copy_own_files(source, target)
    (target / VERSION).mkdir()
    if not model.graphs:
        (target / VERSION / NO_GRAPH).write_text(WHY_NO_GRAPH, encoding="utf-8")
    digests = {kind: sha256_of_file(graph) for kind, graph in model.graphs.items()}
    for path, config in configs:
        parameters = _parameters(path, config, model, digests)
        served = target / path.relative_to(source)
        served.parent.mkdir(exist_ok=True)
        served.write_text(with_parameters(path.read_text(encoding="utf-8"), parameters), encoding="utf-8")
    for kind, graph in model.graphs.items():
        graph.rename(target / VERSION / kind.file_name)
    if model.classes:
        _write_labels(target / LABELS, model.classes)
    if model.provenance is not None:
        _write_json(target / VERSION / PROVENANCE, model.provenance)


def _copy_own_files(source: Path, target: Path) -> None:
    """Copy labels, warm-up tensors and the like; configs are rewritten, and versions are ours to make."""

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder) == source and (name in (CONFIG, VARIANTS) or name.isdigit())]

    shutil.copytree(source, target, ignore=left_out)


def _configs(source: Path, formats: frozenset[GraphFormat]) -> list[Path]:
    """The configs to publish: a variant named after a graph format only when that format is exported."""
    left_out = {kind.value for kind in GraphFormat} - formats
    variants = sorted((source / VARIANTS).glob("*.pbtxt"))
    return [source / CONFIG, *(variant for variant in variants if variant.stem not in left_out)]


def _parameters(path: Path, config: Any, model: ServedModel, digests: Mapping[GraphFormat, str]) -> dict[str, str]:
    """What the service must know about the graph that the config at ``path`` loads; nothing for an ensemble."""
    if not digests:
        return {}
    wanted = GraphFormat.TORCHSCRIPT if runs_torchscript(config) else GraphFormat.ONNX
    if wanted not in digests:
        raise SourceError(f"{path}: reads {wanted.file_name}, which this export does not write")
    return network_parameters(
        digests[wanted], trained=model.trained, classes=model.classes, architecture=model.architecture
    )


def _write_labels(path: Path, classes: tuple[str, ...]) -> None:
    """One class a line, as Triton's ``label_filename`` wants it."""
    if any(not name.isprintable() for name in classes):
        raise PublishError(f"{path.parent.name}: a class name holds a control character: {classes}; rename the class")
    path.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")
