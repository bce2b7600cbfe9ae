"""Orders in, one served repository out, in five steps: fetch, build, torch2onnx, verify, publish. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from radserve_contract.spec import FilmProfile, ModelKind, ModelSpec, Profile
from radserve_export.errors import CheckpointMissing, PublishError
from radserve_export.exportable import Exportable, PipelineExport
from radserve_export.find_checkpoint import find_checkpoint
from radserve_export.formats import GraphFormat
from radserve_export.fusion import fusion_to_onnx
from radserve_export.networks import Measurement
from radserve_export.provenance import Origin, Proof, provenance
from radserve_export.publish import Places, ServedModel, check_source, publish
from radserve_export.staging import staging_folder
from radserve_export.torch2onnx import check_onnx
from radserve_export.verify import fusion_of, require_parity, verify_decision, verify_fusion

STEPS = ("fetch", "build", "torch2onnx", "verify", "publish")

Step = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""Reports progress: ``with step(name, number of items) as begin``, then ``begin(item)`` for each."""
Checkpoints = Mapping[str, Path | None]
Graphs = Mapping[str, Mapping[GraphFormat, Path]]
Proofs = Mapping[str, Mapping[GraphFormat, Proof]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to export of one pipeline: which profiles, from which folder of checkpoints (None: untrained)."""

    pipeline: PipelineExport
    profiles: tuple[Profile, ...]
    checkpoints: Path | None


class Planned(NamedTuple):
    """A model to be served, the first profile that has it, and the order that wants it."""

    model: ModelSpec
    profile: Profile
    order: Order


@dataclass(frozen=True, slots=True)
class Release:
    """One served repository: the pipelines in it, where their configs are read, where it is written.

    ONNX graphs are always made: the fusion and the default configs need them. ``formats`` adds others beside them.
    """

    orders: tuple[Order, ...]
    source: Path
    repository: Path
    formats: tuple[GraphFormat, ...] = (GraphFormat.ONNX,)

    @property
    def models(self) -> dict[str, Planned]:
        """Every model of the orders' profiles by name; shared ones once."""
        found: dict[str, Planned] = {}
        for order in self.orders:
            for profile in order.profiles:
                for model in profile.models:
                    found.setdefault(model.name, Planned(model, profile, order))
        return found

    def of_kind(self, kind: ModelKind) -> dict[str, Planned]:
        """The models of one kind."""
        return {name: planned for name, planned in self.models.items() if planned.model.kind is kind}


def export(release: Release, step: Step) -> Proofs:
    """Run the five steps; answer what verify measured, by model and format.

    Raises
    ------
    ExportError
        When a step fails; the served repository is then as it was.
    """
    try:
        with staging_folder(release.repository) as staging:
            checkpoints = fetch(release, step)
            networks = build(release, checkpoints, step)
            graphs = torch2onnx(release, networks, staging, step)
            proofs = verify(release, networks, graphs, step)
            publish_all(release, Made(checkpoints, networks, proofs), staging, step)
    except OSError as error:  # a full disk, in whatever step
        raise PublishError(f"{release.repository}: {error.strerror or error}; it is unchanged") from error
    return proofs


def fetch(release: Release, step: Step) -> Checkpoints:
    """Find the checkpoint of every network: its file by model name, None when untrained weights are wanted.

    The source's configs are read too: what is wrong with them is better said before the work than after it.
    """
    networks = release.of_kind(ModelKind.NETWORK)
    with step("fetch", len(networks)) as begin:
        models = [planned.model for planned in release.models.values()]
        check_source(models, release.source, frozenset(release.formats))
        found: dict[str, Path | None] = {}
        missing: dict[str, None] = {}  # each once, in order
        for name, planned in networks.items():
            begin(name)
            try:
                found[name] = _checkpoint(planned)
            except CheckpointMissing as error:
                missing[str(error)] = None
        if missing:
            raise CheckpointMissing(f"not found: {'; '.join(missing)}. Wanted the folders the trained system writes")
    return found


def _checkpoint(planned: Planned) -> Path | None:
    model, _, order = planned
    if order.checkpoints is None:
        return None
    return find_checkpoint(order.checkpoints, order.pipeline.CHECKPOINTS[model.architecture])


def build(release: Release, checkpoints: Checkpoints, step: Step) -> dict[str, Exportable]:
    """Build every network with its weights, by model name."""
    built = {}
    with step("build", len(checkpoints)) as begin:
        for name, (model, profile, order) in release.of_kind(ModelKind.NETWORK).items():
            begin(name)
            built[name] = order.pipeline.build(model, profile, checkpoints[name])
    return built


def torch2onnx(release: Release, networks: Mapping[str, Exportable], staging: Path, step: Step) -> Graphs:
    """Write every graph into ``staging`` and hold the ONNX ones against the contract."""
    graphs: dict[str, dict[GraphFormat, Path]] = {}
    fusions = release.of_kind(ModelKind.FUSION)
    with step("torch2onnx", len(networks) + len(fusions)) as begin:
        for name, item in networks.items():
            begin(name)
            graphs[name] = {kind: staging / f"{name}.{kind.file_name}" for kind in release.formats}
            for kind, path in graphs[name].items():
                item.write[kind](item.network, path)
        for name, (model, profile, _) in fusions.items():
            begin(name)
            graphs[name] = {GraphFormat.ONNX: staging / f"{name}.{GraphFormat.ONNX.file_name}"}
            fusion_to_onnx(model, _film(profile).fusion, graphs[name][GraphFormat.ONNX])
        for name, files in graphs.items():
            check_onnx(files[GraphFormat.ONNX], release.models[name].model)
    return graphs


def verify(release: Release, networks: Mapping[str, Exportable], graphs: Graphs, step: Step) -> Proofs:
    """Compare every graph with its original, and each profile's fused decision; refuse what differs."""
    proofs: dict[str, dict[GraphFormat, Proof]] = {}
    fusions = release.of_kind(ModelKind.FUSION)
    with step("verify", len(networks) + len(fusions)) as begin:
        for name, item in networks.items():
            begin(name)
            proofs[name] = {
                kind: _proven(name, path, item.verify(item.network, path)) for kind, path in graphs[name].items()
            }
        for name, (model, profile, order) in fusions.items():
            begin(name)
            path, tolerance = graphs[name][GraphFormat.ONNX], order.pipeline.SPEC.tolerance
            measured = verify_fusion(model, path, _film(profile).fusion, tolerance)
            measured += _decisions(order, name, networks, graphs)
            proofs[name] = {GraphFormat.ONNX: _proven(name, path, measured)}
    return proofs


def _proven(name: str, path: Path, measurements: tuple[Measurement, ...]) -> Proof:
    require_parity(name, measurements)
    return Proof(path, measurements)


def _decisions(
    order: Order, fusion: str, networks: Mapping[str, Exportable], graphs: Graphs
) -> tuple[Measurement, ...]:
    """Fused score and label of every profile that decides with ``fusion``."""
    bare = {name: item.network for name, item in networks.items()}
    onnx = {name: files[GraphFormat.ONNX] for name, files in graphs.items()}
    deciding = [profile for profile in map(_film, order.profiles) if fusion_of(profile).name == fusion]
    found = [verify_decision(profile, bare, onnx, order.pipeline.SPEC.tolerance) for profile in deciding]
    return tuple(item for measurements in found for item in measurements)


def _film(profile: Profile) -> FilmProfile:
    """A profile with a fusion as what it is: no other kind has one."""
    if not isinstance(profile, FilmProfile):
        raise TypeError(f"profile {profile.name} has a fusion model but is a {type(profile).__name__}")
    return profile


class Made(NamedTuple):
    """What the steps before publish made, by model name."""

    checkpoints: Checkpoints
    networks: Mapping[str, Exportable]
    proofs: Proofs


def publish_all(release: Release, made: Made, staging: Path, step: Step) -> None:
    """Assemble the served repository and swap it in."""
    places = Places(release.source, staging, release.repository, frozenset(release.formats))
    with step("publish", len(release.models)) as begin:

        def served(planned: Planned) -> ServedModel:
            begin(planned.model.name)
            return _served(planned, made)

        publish((served(planned) for planned in release.models.values()), _about(release, made.networks), places)


def _about(release: Release, networks: Mapping[str, Exportable]) -> dict[str, Any]:
    """What the manifest says of the whole: every pipeline with its profiles, and whether all weights are trained."""
    planned = release.of_kind(ModelKind.NETWORK)
    pipelines = [
        {
            "pipeline": order.pipeline.SPEC.name,
            "profiles": [profile.name for profile in order.profiles],
            "trained": all(networks[name].network.trained for name, item in planned.items() if item.order is order),
        }
        for order in release.orders
    ]
    return {"pipelines": pipelines, "trained": all(item["trained"] for item in pipelines)}


def _served(planned: Planned, made: Made) -> ServedModel:
    """A network, fusion or ensemble as publish takes it."""
    model, _, order = planned
    proofs, item = made.proofs.get(model.name), made.networks.get(model.name)
    if not proofs:
        return ServedModel(model)
    deviations = order.pipeline.DEVIATIONS.get(model.name, ())
    graphs = {kind: proof.graph for kind, proof in proofs.items()}
    if item is None:
        return ServedModel(model, graphs, provenance=provenance(model, order.pipeline.SPEC, None, proofs, deviations))
    network = item.network
    origin = Origin(_origin(made.checkpoints[model.name], order), network.checkpoint_sha256)
    measured = {name: measure(network) for name, measure in item.deviations.items()}
    document = provenance(
        model, order.pipeline.SPEC, origin, proofs, deviations, measured, architecture=network.architecture
    )
    return ServedModel(model, graphs, network.trained, network.classes, document, network.architecture)


def _origin(checkpoint: Path | None, order: Order) -> str:
    """Where the checkpoint lay in the folder of its pipeline; empty without one."""
    if checkpoint is None or order.checkpoints is None:
        return ""
    return checkpoint.relative_to(order.checkpoints).as_posix()
