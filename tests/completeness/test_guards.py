"""Each rule about configs, seen failing once: on a copy with one thing wrong, it names that thing and where it is."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_contract.pipelines.spine import DEPLOYED, PUBLISHED
from tests.completeness.config_rules import model_problems, stray_folders
from tests.served_repository import ROOT

CONFIG, TORCH = "config.pbtxt", "configs/torchscript.pbtxt"
CNN, FUSION, DETECTOR, ENSEMBLE, ALL = (
    "spine_densenet121",
    "spine_fusion",
    "spine_yolo11",
    "spine_classification",
    "spine",
)
WARM_8 = "    batch_size: 8\n"

WRONG = [  # model, file, what is written, what is written instead, what must be said
    (CNN, CONFIG, 'name: "spine_densenet121"', 'name: "densenet121"', "name is densenet121"),
    (CNN, CONFIG, 'name: "spine_densenet121"', 'nome: "spine_densenet121"', "would not parse"),
    (CNN, CONFIG, "max_batch_size: 8", "max_batch_size: 4", "max_batch_size is 4, wanted 8"),
    (CNN, CONFIG, "max_batch_size: 8", "", "max_batch_size is 0, wanted 8"),
    (CNN, CONFIG, "versions: [ 1 ]", "versions: [ 1, 2 ]", r"version_policy is \[1, 2\]"),
    (CNN, CONFIG, "specific: { versions: [ 1 ] }", "latest: { num_versions: 1 }", r"version_policy is \[\]"),
    (
        CNN,
        CONFIG,
        'name: "image", data_type: TYPE_UINT8',
        'name: "image", data_type: TYPE_FP32',
        "input is .*TYPE_FP32",
    ),
    (CNN, CONFIG, "224, 224 ] }", "224, 384 ] }", "input is .*384"),
    (CNN, CONFIG, "224, 224 ] } ]", "224, 224 ], reshape: { shape: [ 224, 224 ] } } ]", "input is .*reshaped"),
    (CNN, CONFIG, 'name: "logit"', 'name: "logits"', "output is .*logits"),
    (CNN, CONFIG, 'backend: "onnxruntime"', 'backend: "tensorrt"', "backend is 'tensorrt'"),
    (CNN, CONFIG, "model.onnx", "graph.onnx", "default_model_filename is graph.onnx"),
    (CNN, CONFIG, "KIND_AUTO", "KIND_GPU", "instance_group is .*KIND_GPU"),
    (CNN, CONFIG, "count: 1", "count: 2", "instance_group is .*2"),
    (FUSION, CONFIG, "KIND_CPU", "KIND_AUTO", "instance_group is .*KIND_AUTO"),
    (CNN, CONFIG, "dynamic_batching {", "dynamic_batching { priority_levels: 3", "priority_levels lets requests wait"),
    (CNN, CONFIG, "microseconds: 0", "microseconds: 100", "max_queue_delay_microseconds is 100"),
    (CNN, CONFIG, "dynamic_batching {", "dynamic_batching { preferred_batch_size: [ 8 ]", "preferred_batch_size is"),
    (
        CNN,
        CONFIG,
        "dynamic_batching {",
        "dynamic_batching { default_queue_policy { max_queue_size: 9 }",
        "queue policy",
    ),
    (FUSION, CONFIG, "dynamic_batching {", "optimization { graph { level: 1 } } model_transaction_policy {", "parse"),
    (CNN, CONFIG, WARM_8, "    batch_size: 4\n", r"model_warmup batch sizes is \[1, 4\]"),
    (CNN, CONFIG, 'key: "image"', 'key: "picture"', "model_warmup 'batch of 1' inputs is .*picture"),
    (
        FUSION,
        CONFIG,
        'key: "resnet50" value { data_type: TYPE_FP32',
        'key: "resnet50" value { data_type: TYPE_FP64',
        "FP64",
    ),
    (CNN, CONFIG, 'key: "intra_op_thread_count"', 'key: "inter_op_thread_count"', "intra_op_thread_count is missing"),
    (
        CNN,
        CONFIG,
        'key: "gpu_mem_limit"',
        'key: "radserve_digest_1"',
        "radserve_digest_1 is for publish to write.*gpu_mem_limit is missing",
    ),
    (
        CNN,
        CONFIG,
        'search" value { string_value: "1"',
        'search" value { string_value: "0"',
        "parameter cudnn_conv_algo_search is 0, wanted 1",
    ),
    (
        CNN,
        CONFIG,
        'strategy" value { string_value: "1"',
        'strategy" value { string_value: "0"',
        "parameter arena_extend_strategy is 0, wanted 1",
    ),
    (
        CNN,
        CONFIG,
        "instance_group",
        'optimization { execution_accelerators { gpu_execution_accelerator { name: "cuda" } } } instance_group',
        "options of the accelerator cuda are ignored",
    ),
    (CNN, TORCH, "OUTPUT__1", "probability", "output is .*probability"),
    (CNN, TORCH, "INTRA_OP", "INTER_OP", "INTRA_OP_THREAD_COUNT is missing"),
    (DETECTOR, TORCH, "TYPE_INT32, dims: [ 300 ]", "TYPE_INT64, dims: [ 300 ]", "output is .*TYPE_INT64"),
    (ENSEMBLE, CONFIG, 'platform: "ensemble"', 'platform: "assembly"', "platform is 'assembly'"),
    (ENSEMBLE, CONFIG, 'platform: "ensemble"', 'platform: "ensemble" model_warmup { name: "x" }', "model_warmup does"),
    (ENSEMBLE, CONFIG, 'model_name: "spine_resnet50"', 'model_name: "spine_densenet121"', "steps call"),
    (ENSEMBLE, CONFIG, "model_version: 1", "model_version: -1", "has model_version -1"),
    (ENSEMBLE, CONFIG, 'key: "probability"', 'key: "logit"', "reads densenet121 from densenet121, which is .*logit"),
    (
        ENSEMBLE,
        CONFIG,
        'key: "probability"',
        'key: "probabilities"',
        "maps output probabilities, which it does not have",
    ),
    (ENSEMBLE, CONFIG, 'key: "image"', 'key: "picture"', r"maps inputs \['picture'\]"),
    (ENSEMBLE, CONFIG, 'value: "classifier_image"', 'value: "score"', "reads image from score.*classifier_image goes"),
    (ENSEMBLE, CONFIG, '"resnet50" value: "resnet50"', '"resnet50" value: "densenet121"', "weights would be swapped"),
    (
        ENSEMBLE,
        CONFIG,
        '"probability" value: "resnet50"',
        '"probability" value: "densenet121"',
        "makes densenet121, which spine_densenet121 makes already",
    ),
    (ENSEMBLE, CONFIG, 'key: "score" value: "score"', 'key: "score" value: "mean"', "output score is made by nothing"),
    (ENSEMBLE, TORCH, "OUTPUT__1", "OUTPUT__0", "which is spine_densenet121's logit"),
    (ENSEMBLE, TORCH, "INPUT__0", "image", r"maps inputs \['image'\], wanted \['INPUT__0'\]"),
    (
        ALL,
        CONFIG,
        '"box_scores" value: "box_scores"',
        '"box_scores" value: "scores"',
        "output box_scores is made by nothing",
    ),
    (ALL, CONFIG, 'value: "detector_image"', 'value: "classifier_image"', "reads image from classifier_image"),
    (
        ALL,
        TORCH,
        '"OUTPUT__1" value: "box_scores"',
        '"OUTPUT__1" value: "box_classes"',
        "makes box_classes, which spine_yolo11 makes already",
    ),
]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the model repository, to be spoilt."""
    return shutil.copytree(ROOT / "model_repository", tmp_path / "model_repository")


@pytest.mark.parametrize(("model", "file", "old", "new", "words"), WRONG)
def test_a_wrong_config_is_named(repository: Path, model: str, file: str, old: str, new: str, words: str):
    path = repository / model / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))

    problems = model_problems(repository, DEPLOYED.model(model), DEPLOYED.models)

    assert problems, f"nothing was said about {new!r}"
    assert all(str(path) in problem for problem in problems)
    assert re.search(words, " ".join(problems), re.DOTALL)


def test_a_missing_config_is_named(repository: Path):
    shutil.rmtree(repository / CNN)

    assert model_problems(repository, DEPLOYED.model(CNN), DEPLOYED.models) == [
        f"{repository / CNN / CONFIG}: is missing"
    ]


def test_a_swap_of_two_members_is_seen_though_every_type_fits(repository: Path):
    path = repository / ENSEMBLE / CONFIG
    for old, new in (("resnet50", "?"), ("densenet121", "resnet50"), ("?", "densenet121")):
        path.write_text(path.read_text().replace(f'"probability" value: "{old}"', f'"probability" value: "{new}"'))

    problems = " ".join(model_problems(repository, DEPLOYED.model(ENSEMBLE), DEPLOYED.models))

    assert "step spine_densenet121 calls its answer resnet50: it would be taken for another model's" in problems


def test_a_profile_is_held_against_its_own_configs(repository: Path):
    published = replace(PUBLISHED.model("spine_published"), name="spine")

    assert model_problems(repository, published, PUBLISHED.models)


def test_a_folder_of_no_pipeline_is_named(repository: Path):
    (repository / "spine_old").mkdir()

    assert stray_folders(repository, {path.name for path in (ROOT / "model_repository").iterdir()}) == [
        f"{repository / 'spine_old'}: no pipeline in radserve_contract has a model of this name"
    ]
