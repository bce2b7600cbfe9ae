"""What is known about an exported graph in, the JSON document that lies beside it out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx

from radserve_contract.spec import ModelSpec, PipelineSpec
from radserve_export.digest import sha256_of_file
from radserve_export.formats import GraphFormat
from radserve_export.networks import Measurement
from radserve_export.verify import FLIPS

TOOLS = (
    *("torch", "torchvision", "timm", "monai", "ultralytics", "h5py"),
    *("onnx", "onnxscript", "onnxruntime", "numpy", "pillow"),
)
UNTRAINED = "UNTRAINED"


@dataclass(frozen=True, slots=True)
class Proof:
    """A graph file and what verify measured on it."""

    graph: Path
    measurements: tuple[Measurement, ...]

    @property
    def label_flips(self) -> int:
        """Images on the other side of the threshold, over all measurements."""
        return sum(int(item.measured) for item in self.measurements if item.quantity.startswith(FLIPS))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a network's weights come from. Without ``sha256`` they are seeded, not trained."""

    checkpoint: str
    sha256: str | None


def provenance(
    model: ModelSpec,
    pipeline: PipelineSpec,
    origin: Origin | None,
    proofs: Mapping[GraphFormat, Proof],
    deviations: Sequence[str],
    measured_deviations: Mapping[str, Mapping[str, float | None]] | None = None,
    *,
    architecture: str = "",
) -> dict[str, Any]:
    """Describe version 1 of ``model``: weights, graphs, proof, tools, time.

    ``origin`` is None for a graph without weights. ``measured_deviations`` has figures by a deviation's name.
    ``architecture`` is what was built, where the checkpoint decides that; else the contract's name for it is given.
    """
    return {
        "model": model.name,
        "pipeline": pipeline.name,
        "architecture": architecture or model.architecture or None,
        "weights": _weights(origin),
        "checkpoint": None if origin is None or origin.sha256 is None else asdict(origin),
        "graphs": {kind.file_name: _graph(kind, proof) for kind, proof in proofs.items()},
        "label_flips": sum(proof.label_flips for proof in proofs.values()),
        "tolerance": asdict(pipeline.tolerance),
        "deviations": list(deviations),
        "measured_deviations": {name: dict(found) for name, found in (measured_deviations or {}).items()},
        "tools": {"python": platform.python_version(), **{name: version(name) for name in TOOLS}},
        "exported_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _weights(origin: Origin | None) -> str:
    if origin is None:
        return "none"
    return UNTRAINED if origin.sha256 is None else "trained"


def _graph(kind: GraphFormat, proof: Proof) -> dict[str, Any]:
    return {
        "sha256": sha256_of_file(proof.graph),
        "size": proof.graph.stat().st_size,
        **(_onnx_versions(proof.graph) if kind is GraphFormat.ONNX else {}),
        "measurements": [asdict(item) for item in proof.measurements],
    }


def _onnx_versions(graph: Path) -> dict[str, int]:
    model = onnx.load(graph, load_external_data=False)
    return {"ir_version": model.ir_version, "opset": next(item.version for item in model.opset_import)}
