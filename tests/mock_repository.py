"""A profile in, a model repository out whose networks are mocks: same names, tensors, batching, ensembles; no weights.

The ensembles are the ones that are served (``model_repository/``). What the mocks answer: ``mock_models/model.py``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from radserve_contract.spec import ModelKind, ModelSpec, Profile, TensorSpec

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "tests" / "mock_models" / "model.py"
DLPACK = ROOT / "triton_server" / "backends" / "onnxruntime" / "dlpack.py"
DETECTOR_CLASSES = ["Osteophytes", "Other lesions"]


def make_mock_repository(
    folder: Path, profile: Profile, *, sleep_s: float, slow_s: float = 1.0, without: Collection[str] = ()
) -> Path:
    """Write the models of ``profile`` to ``folder``, except those named in ``without``; answers ``folder``.

    Each execution of a network lasts ``sleep_s``, or ``slow_s`` with a slow film in it; of the fusion nothing.
    """
    for spec in profile.models:
        if spec.name not in without:
            _write_model(folder / spec.name, spec, _parameters(spec, profile, sleep_s, slow_s))
    return folder


def _write_model(folder: Path, spec: ModelSpec, parameters: Mapping[str, str]) -> None:
    (folder / "1").mkdir(parents=True)
    if spec.kind is ModelKind.ENSEMBLE:
        shutil.copy(ROOT / "model_repository" / spec.name / "config.pbtxt", folder)
        return
    shutil.copy(MODEL, folder / "1")
    shutil.copy(DLPACK, folder / "1")
    (folder / "config.pbtxt").write_text(_config(spec, parameters))


def _parameters(spec: ModelSpec, profile: Profile, sleep_s: float, slow_s: float) -> dict[str, str]:
    """What the mock reads, and what publish writes."""
    weights = {member.output: member.weight for member in profile.fusion.members}
    network = spec.kind is ModelKind.NETWORK
    published = {"radserve_digest_1": "0" * 64} | ({"radserve_trained_1": "false"} if network else {})
    if spec.name == profile.detection.model:
        published["radserve_classes_1"] = json.dumps(DETECTOR_CLASSES)
    durations = {"sleep_s": str(sleep_s if network else 0.0), "slow_s": str(slow_s)}
    return {**durations, "weights": json.dumps(weights), **published}


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
