"""An order in, a served repository out, in five steps: fetch, build, torch2onnx, verify, publish. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from radserve_contract.spec import ModelKind, ModelSpec, Profile
from radserve_export.errors import CheckpointMissing
from radserve_export.exportable import Exportable, PipelineExport
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
    """What to export: which pipeline and profiles, from which checkpoints (None: untrained), where to.

    ONNX graphs are always made: the fusion and the default configs need them. ``formats`` adds others beside them.
    """

    pipeline: PipelineExport
    profiles: tuple[Profile, ...]
    checkpoints: Path | None
    source: Path
    repository: Path
    formats: tuple[GraphFormat, ...] = (GraphFormat.ONNX,)

    @property
    def models(self) -> dict[str, tuple[ModelSpec, Profile]]:
        """Every model of the profiles by name, with the first profile that has it; shared ones once."""
        found: dict[str, tuple[ModelSpec, Profile]] = {}
        for profile in self.profiles:
            for model in profile.models:
                found.setdefault(model.name, (model, profile))
        return found

    def of_kind(self, kind: ModelKind) -> dict[str, tuple[ModelSpec, Profile]]:
        """The models of one kind."""
        return {name: pair for name, pair in self.models.items() if pair[0].kind is kind}


def export(order: Order, step: Step) -> Proofs:
    """Run the five steps; answer what verify measured, by model and format.

    Raises
    ------
    ExportError
        When a step fails; the served repository is then as it was.
    """
    with staging_folder(order.repository) as staging:
        checkpoints = fetch(order, step)
        networks = build(order, checkpoints, step)
        graphs = torch2onnx(order, networks, staging, step)
        proofs = verify(order, networks, graphs, step)
        publish_all(order, networks, proofs, staging, step)
    return proofs


def fetch(order: Order, step: Step) -> Checkpoints:
    """Find the checkpoint of every network: its file by model name, None when untrained weights are wanted.

    The source's configs are read too: what is wrong with them is better said before the work than after it.
    """
    networks = order.of_kind(ModelKind.NETWORK)
    with step("fetch", len(networks)) as begin:
        check_source([model for model, _ in order.models.values()], order.source, frozenset(order.formats))
        found: dict[str, Path | None] = {}
        for name, (model, _) in networks.items():
            begin(name)
            folder = order.checkpoints
            found[name] = None if folder is None else folder / order.pipeline.CHECKPOINTS[model.architecture]
        missing = sorted({str(path) for path in found.values() if path is not None and not path.is_file()})
        if missing:
            raise CheckpointMissing(f"not found: {'; '.join(missing)}. Wanted the folders the trained system writes")
    return found


def build(order: Order, checkpoints: Checkpoints, step: Step) -> dict[str, Exportable]:
    """Build every network with its weights, by model name."""
    built = {}
    with step("build", len(checkpoints)) as begin:
        for name, (model, profile) in order.of_kind(ModelKind.NETWORK).items():
            begin(name)
            built[name] = order.pipeline.build(model, profile, checkpoints[name])
    return built


def torch2onnx(order: Order, networks: Mapping[str, Exportable], staging: Path, step: Step) -> Graphs:
    """Write every graph into ``staging`` and hold the ONNX ones against the contract."""
    graphs: dict[str, dict[GraphFormat, Path]] = {}
    fusions = order.of_kind(ModelKind.FUSION)
    with step("torch2onnx", len(networks) + len(fusions)) as begin:
        for name, item in networks.items():
            begin(name)
            graphs[name] = {kind: staging / f"{name}.{kind.file_name}" for kind in order.formats}
            for kind, path in graphs[name].items():
                item.write[kind](item.network, path)
        for name, (model, profile) in fusions.items():
            begin(name)
            graphs[name] = {GraphFormat.ONNX: staging / f"{name}.{GraphFormat.ONNX.file_name}"}
            fusion_to_onnx(model, profile.fusion, graphs[name][GraphFormat.ONNX])
        for name, files in graphs.items():
            check_onnx(files[GraphFormat.ONNX], order.models[name][0])
    return graphs


def verify(order: Order, networks: Mapping[str, Exportable], graphs: Graphs, step: Step) -> Proofs:
    """Compare every graph with its original, and each profile's fused decision; refuse what differs."""
    proofs: dict[str, dict[GraphFormat, Proof]] = {}
    fusions = order.of_kind(ModelKind.FUSION)
    with step("verify", len(networks) + len(fusions)) as begin:
        for name, item in networks.items():
            begin(name)
            proofs[name] = {
                kind: _proven(name, path, item.verify(item.network, path)) for kind, path in graphs[name].items()
            }
        for name, (model, profile) in fusions.items():
            begin(name)
            path, tolerance = graphs[name][GraphFormat.ONNX], order.pipeline.SPEC.tolerance
            measured = verify_fusion(model, path, profile.fusion, tolerance) + _decisions(order, name, networks, graphs)
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
    deciding = [profile for profile in order.profiles if fusion_of(profile).name == fusion]
    found = [verify_decision(profile, bare, onnx, order.pipeline.SPEC.tolerance) for profile in deciding]
    return tuple(item for measurements in found for item in measurements)


def publish_all(order: Order, networks: Mapping[str, Exportable], proofs: Proofs, staging: Path, step: Step) -> None:
    """Assemble the served repository and swap it in."""
    places = Places(order.source, staging, order.repository, frozenset(order.formats))
    about = {
        "pipeline": order.pipeline.SPEC.name,
        "profiles": [profile.name for profile in order.profiles],
        "trained": all(item.network.trained for item in networks.values()),
    }
    with step("publish", len(order.models)) as begin:

        def served(name: str, model: ModelSpec) -> ServedModel:
            begin(name)
            return _served(order, model, networks.get(name), proofs.get(name, {}))

        publish((served(name, model) for name, (model, _) in order.models.items()), about, places)


def _served(
    order: Order, model: ModelSpec, item: Exportable | None, proofs: Mapping[GraphFormat, Proof]
) -> ServedModel:
    """A network, fusion or ensemble as publish takes it."""
    if not proofs:
        return ServedModel(model)
    deviations = order.pipeline.DEVIATIONS.get(model.name, ())
    graphs = {kind: proof.graph for kind, proof in proofs.items()}
    if item is None:
        return ServedModel(model, graphs, provenance=provenance(model, order.pipeline.SPEC, None, proofs, deviations))
    checkpoint = order.pipeline.CHECKPOINTS[model.architecture]
    origin = Origin(str(checkpoint), item.network.checkpoint_sha256)
    measured = {name: measure(item.network) for name, measure in item.deviations.items()}
    document = provenance(model, order.pipeline.SPEC, origin, proofs, deviations, measured)
    return ServedModel(model, graphs, item.network.trained, item.network.classes, document)
