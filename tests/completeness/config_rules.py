"""A model's spec and its parsed config.pbtxt in, a sentence for each place where the config says something else out.

Triton's own protobuf parses the file. It cannot tell "0" from "not written": a field whose right value is 0 passes when
it is left out, since it means the same to Triton.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.text_format import Parse, ParseError
from tritonclient.grpc.model_config_pb2 import DataType as TritonType
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelTensorReshape

from radserve_contract.spec import ModelKind, ModelSpec, TensorSpec
from tests.completeness.ensemble_rules import BY_POSITION, ensemble_problems

GRAPH_FILES = {"onnxruntime": "model.onnx", "pytorch": "model.pt"}
DEVICES = {ModelKind.NETWORK: "KIND_AUTO", ModelKind.FUSION: "KIND_CPU"}
CUDA_PARAMETERS = {"cudnn_conv_algo_search", "gpu_mem_limit", "arena_extend_strategy", "do_copy_in_default_stream"}
# HEURISTIC, kSameAsRequested: reasons in model_repository/README.md
CUDA_VALUES = {"cudnn_conv_algo_search": "1", "arena_extend_strategy": "1"}
THREADS = {"onnxruntime": "intra_op_thread_count", "pytorch": "INTRA_OP_THREAD_COUNT"}


def read_config(path: Path) -> Any:
    """The parsed file; ParseError or OSError when it cannot be."""
    return Parse(path.read_text("utf-8"), ModelConfig())


def model_problems(repository: Path, model: ModelSpec, models: Sequence[ModelSpec]) -> list[str]:
    """What is wrong with ``<repository>/<model>``: its config, and each variant under configs/.

    ``models`` are those of the profile: the ones an ensemble may call.
    """
    folder = repository / model.name
    variants = sorted((folder / "configs").glob("*.pbtxt"))
    return [problem for path in (folder / "config.pbtxt", *variants) for problem in _file_problems(path, model, models)]


def stray_folders(repository: Path, known: set[str]) -> list[str]:
    """Folders that belong to no model of any spec."""
    folders = sorted(path for path in repository.iterdir() if path.is_dir() and path.name not in known)
    return [f"{path}: no pipeline in radserve_contract has a model of this name" for path in folders]


def tensor_names(model: ModelSpec, backend: str) -> tuple[list[str], list[str]]:
    """The names of inputs and outputs that a model's config must use on that backend."""
    if backend in BY_POSITION:
        return [f"INPUT__{i}" for i in range(len(model.inputs))], [f"OUTPUT__{i}" for i in range(len(model.outputs))]
    return [tensor.name for tensor in model.inputs], [tensor.name for tensor in model.outputs]


def _file_problems(path: Path, model: ModelSpec, models: Sequence[ModelSpec]) -> list[str]:
    try:
        config = read_config(path)
    except FileNotFoundError:
        return [f"{path}: is missing"]
    except ParseError as error:
        return [f"{path}: Triton would not parse it: {error}"]
    return [f"{path}: {problem}" for problem in config_problems(config, model, models, path)]


def config_problems(config: Any, model: ModelSpec, models: Sequence[ModelSpec], path: Path) -> Iterator[str]:
    """Every disagreement between a config and its spec."""
    yield from _differs("name", config.name, model.name)
    yield from _differs("max_batch_size", config.max_batch_size, model.max_batch_size)
    yield from _differs("version_policy", list(config.version_policy.specific.versions), [1])
    inputs, outputs = tensor_names(model, config.backend)
    yield from _differs("input", _read_tensors(config.input), _wanted_tensors(model.inputs, inputs))
    yield from _differs("output", _read_tensors(config.output), _wanted_tensors(model.outputs, outputs))
    for parameter in (name for name in config.parameters if name.startswith("radserve_")):
        yield f"parameter {parameter} is for publish to write"
    if model.kind is ModelKind.ENSEMBLE:
        yield from ensemble_problems(config, model, models, _backends(path, models))
    else:
        yield from _composing_problems(config, model)


def _composing_problems(config: Any, model: ModelSpec) -> Iterator[str]:
    """What every model that runs something must say."""
    if config.platform or config.backend not in GRAPH_FILES:
        yield f"backend is {config.backend or config.platform!r}, wanted one of {', '.join(GRAPH_FILES)}"
        return
    yield from _differs("default_model_filename", config.default_model_filename, GRAPH_FILES[config.backend])
    groups = [(ModelInstanceGroup.Kind.Name(group.kind), group.count) for group in config.instance_group]
    yield from _differs("instance_group", groups, [(DEVICES[model.kind], 1)])
    yield from _batching_problems(config)
    yield from _warm_up_problems(config, model)
    yield from _parameter_problems(config, model)


def _batching_problems(config: Any) -> Iterator[str]:
    if not config.HasField("dynamic_batching"):
        yield "dynamic_batching is missing"
        return
    batching = config.dynamic_batching
    if batching.priority_levels:
        yield "dynamic_batching.priority_levels lets requests wait 500 ms for nothing (model_repository/README.md)"
    yield from _differs("dynamic_batching.max_queue_delay_microseconds", batching.max_queue_delay_microseconds, 0)
    yield from _differs("dynamic_batching.preferred_batch_size", list(batching.preferred_batch_size), [])
    if batching.HasField("default_queue_policy") or batching.priority_queue_policy:
        yield "dynamic_batching has a queue policy; deadlines and limits are the service's (server#8870)"


def _warm_up_problems(config: Any, model: ModelSpec) -> Iterator[str]:
    sizes = [sample.batch_size for sample in config.model_warmup]
    yield from _differs("model_warmup batch sizes", sizes, [1, model.max_batch_size])
    names, _ = tensor_names(model, config.backend)
    wanted = sorted(_wanted_tensors(model.inputs, names))
    for sample in config.model_warmup:
        given = sorted(
            (name, TritonType.Name(item.data_type), tuple(item.dims)) for name, item in sample.inputs.items()
        )
        yield from _differs(f"model_warmup {sample.name!r} inputs", given, wanted)


def _parameter_problems(config: Any, model: ModelSpec) -> Iterator[str]:
    if THREADS[config.backend] not in config.parameters:
        yield f"parameter {THREADS[config.backend]} is missing: idle threads would take cores from busy ones"
    if model.kind is ModelKind.NETWORK and config.backend == "onnxruntime":
        for name in sorted(CUDA_PARAMETERS - set(config.parameters)):
            yield f"parameter {name} is missing: the native backend would fill in its own default (server#8808)"
        for name in sorted(CUDA_VALUES.keys() & set(config.parameters)):
            yield from _differs(f"parameter {name}", config.parameters[name].string_value, CUDA_VALUES[name])
        accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
        if any(accelerator.name == "cuda" for accelerator in accelerators):
            yield "options of the accelerator cuda are ignored; write them as parameters (server#8808)"


def _backends(path: Path, models: Sequence[ModelSpec]) -> dict[str, str]:
    """The backend that each model of the profile has when ``path`` is the chosen config or variant."""
    backends = {}
    for model in models:
        folder = path.parents[1 if path.parent.name != "configs" else 2] / model.name
        variant = folder / "configs" / path.name
        chosen = variant if path.parent.name == "configs" and variant.is_file() else folder / "config.pbtxt"
        backends[model.name] = read_config(chosen).backend if chosen.is_file() else ""
    return backends


def _read_tensors(tensors: Any) -> list[tuple[str, str, tuple[int, ...]]]:
    no_reshape = ModelTensorReshape()
    return [
        (tensor.name, TritonType.Name(tensor.data_type), tuple(tensor.dims))
        if tensor.reshape == no_reshape
        else (tensor.name, "reshaped", tuple(tensor.dims))
        for tensor in tensors
    ]


def _wanted_tensors(tensors: Sequence[TensorSpec], names: Sequence[str]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(name, f"TYPE_{tensor.dtype}", tensor.dims) for name, tensor in zip(names, tensors, strict=True)]


def _differs(what: str, got: object, wanted: object) -> Iterator[str]:
    if got != wanted:
        yield f"{what} is {got}, wanted {wanted}"
