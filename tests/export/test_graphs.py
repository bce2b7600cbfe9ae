"""The graph files: what they are called inside, what they hold, and which ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_contract.spec import DType
from radserve_export.errors import GraphError
from radserve_export.fusion import fusion_to_onnx
from radserve_export.networks import BuiltNetwork
from radserve_export.runtime import open_graph
from radserve_export.sample_images import verification_images
from radserve_export.torch2onnx import NEWEST_IR, NEWEST_OPSET, OPSET, check_onnx, torch2onnx
from radserve_export.torch2torchscript import torch2torchscript
from radserve_export.verify import fusion_of
from tests.export.small_pipeline import MIRRORED, NETWORK, SIZE

IMAGES = verification_images(SIZE, 4)


def test_both_kinds_of_classifier_pass_the_contracts_check(graph: Path, mirrored_graph: Path) -> None:
    check_onnx(graph, NETWORK)
    check_onnx(mirrored_graph, MIRRORED)


def test_it_is_one_file_that_old_runtimes_read(graph: Path) -> None:
    model = onnx.load(graph)
    assert [*graph.parent.iterdir()] == [graph]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)]
    assert model.ir_version <= NEWEST_IR
    assert OPSET <= NEWEST_OPSET


def test_it_holds_no_path_of_the_machine_that_wrote_it(graph: Path) -> None:
    raw = graph.read_bytes()
    assert b"radserve_export" not in raw
    assert b"site-packages" not in raw
    assert b".py" not in raw


def test_the_same_network_gives_the_same_bytes(network: BuiltNetwork, graph: Path, tmp_path: Path) -> None:
    torch2onnx(network, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == graph.read_bytes()


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["network", "mirrored"])
def test_any_batch_runs_and_answers_as_torch_does(kind: str, batch: int, request: pytest.FixtureRequest) -> None:
    built: BuiltNetwork = request.getfixturevalue(kind)
    path: Path = request.getfixturevalue({"network": "graph", "mirrored": "mirrored_graph"}[kind])
    answers = open_graph(path, built.spec)({"image": IMAGES[:batch]})
    with torch.no_grad():
        logit, probability = built.module(torch.from_numpy(IMAGES[:batch]))
    np.testing.assert_allclose(answers["logit"], logit, atol=1e-4)
    np.testing.assert_allclose(answers["probability"], probability, atol=1e-5)


@pytest.mark.parametrize("kind", ["network", "mirrored"])
def test_torchscript_answers_as_torch_does_for_any_batch(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    built: BuiltNetwork = request.getfixturevalue(kind)
    torch2torchscript(built, tmp_path / "model.pt")
    run = open_graph(tmp_path / "model.pt", built.spec)
    for batch in (1, 2, 4):
        with torch.no_grad():
            logit, _ = built.module(torch.from_numpy(IMAGES[:batch]))
        np.testing.assert_allclose(run({"image": IMAGES[:batch]})["logit"], logit, atol=1e-4)


class Opaque(torch.nn.Module):
    """Something neither exporter can express: control flow on the data."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise RuntimeError("data-dependent")


def test_a_network_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    built = BuiltNetwork(NETWORK, Opaque().eval(), None)
    with pytest.raises(GraphError, match="small_one: torch cannot write it as ONNX"):
        torch2onnx(built, tmp_path / "model.onnx")
    with pytest.raises(GraphError, match="small_one: torch cannot trace it: data-dependent"):
        torch2torchscript(built, tmp_path / "model.pt")
    assert [*tmp_path.iterdir()] == []


def fix_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "picture"
    for node in model.graph.node:
        node.input[:] = ["picture" if name == "image" else name for name in node.input]


def swap_outputs(model: onnx.ModelProto) -> None:
    first, second = (onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in model.graph.output)
    model.graph.output[0].CopyFrom(second)
    model.graph.output[1].CopyFrom(first)


def raise_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = NEWEST_OPSET + 1
    model.ir_version = NEWEST_IR


def raise_ir(model: onnx.ModelProto) -> None:
    model.ir_version = NEWEST_IR + 1


def add_domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def break_graph(model: onnx.ModelProto) -> None:
    del model.graph.node[len(model.graph.node) // 2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (fix_batch, r"inputs are .*'image', 2, \(1, 1, 64, 64\).* wanted .*\(None, 1, 64, 64\)"),
        (rename_input, r"inputs are .*'picture'"),
        (swap_outputs, r"outputs are .*'probability'.*'logit'.* wanted .*'logit'.*'probability'"),
        (raise_opset, r"'ai\.onnx': 22\}; wanted IR up to 10 and ai\.onnx up to 21 alone"),
        (raise_ir, "IR version 11"),
        (add_domain, r"'com\.microsoft': 1"),
        (break_graph, r"onnx\.checker refuses"),
    ],
)
def test_a_graph_that_is_not_the_contracts_is_refused(
    change: Callable[[onnx.ModelProto], None], reason: str, graph: Path, tmp_path: Path
) -> None:
    model = onnx.load(graph)
    change(model)
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(GraphError, match=reason):
        check_onnx(tmp_path / "changed.onnx", NETWORK)


def test_a_graph_of_another_type_or_size_is_refused(graph: Path) -> None:
    image = NETWORK.inputs[0]
    for other in (replace(image, dtype=DType.FP32), replace(image, dims=(1, SIZE, SIZE + 1))):
        with pytest.raises(GraphError, match="inputs are"):
            check_onnx(graph, replace(NETWORK, inputs=(other,)))


def test_weights_outside_the_file_are_refused(graph: Path, tmp_path: Path) -> None:
    onnx.save(
        onnx.load(graph), tmp_path / "spread.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    with pytest.raises(GraphError, match="outside the graph's file"):
        check_onnx(tmp_path / "spread.onnx", NETWORK)


def test_the_fusion_is_the_contracts_weighted_sum_in_its_order(tmp_path: Path) -> None:
    spec, path = fusion_of(DEPLOYED), tmp_path / "fusion.onnx"
    fusion_to_onnx(spec, DEPLOYED.fusion, path)
    check_onnx(path, spec)
    weights = numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    np.testing.assert_allclose(weights[:, 0], [0.42, 0.26, 0.32], rtol=1e-6)
    column = np.array([[0.5], [1.0]], np.float32)
    inputs = {"densenet121": column, "resnet50": column * 0, "efficientnetv2_s": column}
    np.testing.assert_allclose(open_graph(path, spec)(inputs)["score"], [[0.37], [0.74]], rtol=1e-6)
