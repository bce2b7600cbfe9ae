"""A profile in, a model repository out whose networks are mocks: same names, tensors, batching, ensembles; no weights.

The ensembles are the ones that are served (``model_repository/``). What the mocks answer: ``mock_models/model.py``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from radserve_contract.spec import ModelKind, ModelSpec, Profile, TensorSpec

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "mock_models" / "model.py"
CONSTANT = ROOT / "tests" / "mock_models" / "constant.py"
DLPACK = ROOT / "triton_server" / "backends" / "onnxruntime" / "dlpack.py"
DETECTOR_CLASSES = ["Osteophytes", "Other lesions"]


@dataclass(frozen=True)
class Hold:
    """The file that keeps the networks at a slow film for as long as it exists: no test has to guess how long."""

    path: Path

    def take(self) -> None:
        """From now on a slow film is not finished."""
        for held in self.path.parent.glob("held.*"):
            held.unlink()
        self.path.touch()

    def let_go(self) -> None:
        """Finish what is held."""
        self.path.unlink(missing_ok=True)

    def holds(self, model: str) -> bool:
        """Whether that model has come to a slow film since ``take``."""
        return self.path.with_name(f"held.{model}").exists()


def make_mock_repository(
    folder: Path,
    profile: Profile,
    *,
    sleep_s: float,
    slow_s: float = 1.0,
    hold: Path | None = None,
    without: Collection[str] = (),
) -> Path:
    """Write the models of ``profile`` to ``folder``, except those named in ``without``; answers ``folder``.

    Each execution of a network lasts ``sleep_s``, or with a slow film in it ``slow_s`` and for as long as the file
    ``hold`` exists; of the fusion nothing.
    """
    for spec in profile.models:
        if spec.name not in without:
            _write_model(folder / spec.name, spec, _parameters(spec, profile, sleep_s, slow_s, hold))
    return folder


def make_constant_repository(folder: Path, profiles: Collection[Profile]) -> Path:
    """Write the models of every one of ``profiles`` to ``folder``, of films and volumes, as ``constant.py``."""
    for profile in profiles:
        for spec in profile.models:
            published = {"radserve_digest_1": "0" * 64, "radserve_trained_1": "false"}
            published |= {"radserve_classes_1": json.dumps(DETECTOR_CLASSES)}
            _write_model(folder / spec.name, spec, published, CONSTANT)
    return folder


def _write_model(folder: Path, spec: ModelSpec, parameters: Mapping[str, str], model: Path = MODEL) -> None:
    (folder / "1").mkdir(parents=True)
    if spec.kind is ModelKind.ENSEMBLE:
        shutil.copy(ROOT / "model_repository" / spec.name / "config.pbtxt", folder)
        return
    shutil.copy(model, folder / "1" / MODEL.name)
    shutil.copy(DLPACK, folder / "1")
    (folder / "config.pbtxt").write_text(_config(spec, parameters))


def _parameters(spec: ModelSpec, profile: Profile, sleep_s: float, slow_s: float, hold: Path | None) -> dict[str, str]:
    """What the mock reads, and what publish writes."""
    weights = {member.output: member.weight for member in profile.fusion.members}
    network = spec.kind is ModelKind.NETWORK
    published = {"radserve_digest_1": "0" * 64} | ({"radserve_trained_1": "false"} if network else {})
    if spec.name == profile.detection.model:
        published["radserve_classes_1"] = json.dumps(DETECTOR_CLASSES)
    durations = {"sleep_s": str(sleep_s if network else 0.0), "slow_s": str(slow_s)}
    return {**durations, "hold": str(hold or ""), "weights": json.dumps(weights), **published}


def _config(spec: ModelSpec, parameters: Mapping[str, str]) -> str:
    """config.pbtxt of a python-backend model that batches and queues as the real network does."""
    return "\n".join(
        [
            f'name: "{spec.name}"',
            'backend: "python"',
            'default_model_filename: "model.py"',
            f"max_batch_size: {spec.max_batch_size}",
            *(_tensor("input", tensor) for tensor in spec.inputs),
            *(_tensor("output", tensor) for tensor in spec.outputs),
            "instance_group [ { kind: KIND_CPU, count: 1 } ]",
            "dynamic_batching { }",
            *(
                f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(value)} }} }}'
                for key, value in parameters.items()
            ),
        ]
    )


def _tensor(role: str, tensor: TensorSpec) -> str:
    dims = ", ".join(map(str, tensor.dims))
    return f'{role} [ {{ name: "{tensor.name}" data_type: TYPE_{tensor.dtype} dims: [ {dims} ] }} ]'
