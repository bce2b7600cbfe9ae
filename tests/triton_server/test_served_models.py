"""The real networks on the real server: ready, identified, and a batch of N equal to N batches of one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from radserve_contract.pipelines.spine import DEPLOYED, SPEC
from radserve_contract.spec import ModelKind, ModelSpec
from radserve_devstack.phantoms import spine as phantom
from radserve_triton.server import TritonServer

BATCH = 3
ON_THE_WIRE = [model for model in DEPLOYED.models if model.kind is not ModelKind.FUSION]
TOLERANCES = {"score": SPEC.tolerance.probability, "logit": SPEC.tolerance.logit, "boxes": SPEC.tolerance.box_px}


@pytest.fixture(scope="module")
def client(triton_server: TritonServer) -> InferenceServerClient:
    return InferenceServerClient(triton_server.grpc_address)


@pytest.fixture(scope="module")
def films() -> list[Image.Image]:
    """Three films that differ: normal, abnormal, and the abnormal one upside down; 8 bits."""
    normal, abnormal = (
        Image.fromarray((phantom.render(abnormal=kind) >> 4).astype(np.uint8)) for kind in (False, True)
    )
    return [normal, abnormal, abnormal.transpose(Image.Transpose.FLIP_TOP_BOTTOM)]


def infer(client: InferenceServerClient, model: ModelSpec, tensors: dict[str, np.ndarray], priority: int = 0) -> dict:
    inputs = []
    for name, array in tensors.items():
        inputs.append(InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array))
    result = client.infer(model.name, inputs, priority=priority, client_timeout=120)
    return {tensor.name: result.as_numpy(tensor.name) for tensor in model.outputs}


def batch_of(model: ModelSpec, films: list[Image.Image]) -> dict[str, np.ndarray]:
    """Each input of the model: the films at its size, ``(films, 1, rows, columns)`` uint8."""
    sizes = {tensor.name: (tensor.dims[2], tensor.dims[1]) for tensor in model.inputs}
    return {name: np.stack([np.asarray(film.resize(size))[None] for film in films]) for name, size in sizes.items()}


def test_every_model_of_the_profile_is_ready(client: InferenceServerClient):
    assert client.is_server_ready()
    assert [model.name for model in DEPLOYED.models if not client.is_model_ready(model.name)] == []


@pytest.mark.parametrize("model", ON_THE_WIRE, ids=lambda model: model.name)
def test_a_batch_answers_what_its_films_answer_alone(client: InferenceServerClient, films, model: ModelSpec):
    tensors = batch_of(model, films)

    together = infer(client, model, tensors)

    alone = [infer(client, model, {name: x[[i]] for name, x in tensors.items()}) for i in range(BATCH)]
    for tensor in model.outputs:
        joined = np.concatenate([answer[tensor.name] for answer in alone])
        assert together[tensor.name].shape == (BATCH, *tensor.dims)
        assert together[tensor.name].dtype == tensor.dtype.numpy
        tolerance = TOLERANCES.get(tensor.name, SPEC.tolerance.probability)
        np.testing.assert_allclose(together[tensor.name], joined, rtol=0, atol=tolerance)
    first = together[model.outputs[0].name]
    assert not np.array_equal(first[0], first[1]), "films that are answered alike prove nothing"


def test_the_ensemble_answers_the_contracts_weighted_mean_of_its_members(client: InferenceServerClient, films):
    model = DEPLOYED.model(DEPLOYED.classification)

    answer = infer(client, model, batch_of(model, films))

    fused = sum(answer[member.output] * member.weight for member in DEPLOYED.fusion.members)
    np.testing.assert_allclose(answer[DEPLOYED.fusion.output], fused, rtol=0, atol=1e-6)


def test_each_member_of_the_ensemble_is_the_network_of_its_name(client: InferenceServerClient, films):
    model = DEPLOYED.model(DEPLOYED.classification)
    answer = infer(client, model, batch_of(model, films))

    for member in DEPLOYED.fusion.members:
        network = DEPLOYED.model(member.model)
        alone = infer(client, network, batch_of(network, films))["probability"]
        np.testing.assert_allclose(answer[member.output], alone, rtol=0, atol=SPEC.tolerance.probability)


@pytest.mark.parametrize("priority", [1, 2, 3])
def test_an_ensemble_takes_every_priority(client: InferenceServerClient, films, priority: int):
    model = DEPLOYED.model(DEPLOYED.classification)

    assert np.isfinite(infer(client, model, batch_of(model, films[:1]), priority)["score"]).all()


@pytest.mark.parametrize(
    "model", [model for model in DEPLOYED.models if model.kind is not ModelKind.ENSEMBLE], ids=lambda model: model.name
)
def test_the_config_that_triton_hands_out_identifies_the_graph(
    client: InferenceServerClient, served_repository: Path, model: ModelSpec
):
    manifest = json.loads((served_repository / "manifest.json").read_text())
    digests = {entry["path"]: entry["sha256"] for entry in manifest["files"]}

    parameters = client.get_model_config(model.name).config.parameters

    assert parameters["radserve_digest_1"].string_value == digests[f"{model.name}/1/model.onnx"]
    assert ("radserve_trained_1" in parameters) == (model.kind is ModelKind.NETWORK)
    if model.kind is ModelKind.NETWORK:
        assert parameters["radserve_trained_1"].string_value == "false"
    if model.name == DEPLOYED.detection.model:
        assert len(json.loads(parameters["radserve_classes_1"].string_value)) == 7
