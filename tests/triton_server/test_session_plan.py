"""What a config asks of ONNX Runtime: the native backend's names and values, and a refusal for everything else."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.text_format import Parse
from session_plan import CPU, CUDA, OPENVINO, ConfigError, SessionPlan, plan_session
from tritonclient.grpc.model_config_pb2 import ModelConfig

from tests.served_repository import ROOT

ONNX_CONFIGS = sorted((ROOT / "model_repository").glob("*/config.pbtxt"))


def plan(
    parameters: dict[str, str] | None = None,
    *,
    kind: str = "CPU",
    device_id: int = 0,
    available: tuple[str, ...] = (CPU,),
    **config: Any,
) -> SessionPlan:
    entries = {name: {"string_value": value} for name, value in (parameters or {}).items()}
    return plan_session({"parameters": entries, **config}, kind=kind, device_id=device_id, available=available)


def accelerators(**groups: Any) -> dict[str, Any]:
    return {"execution_accelerators": {f"{side}_execution_accelerator": entries for side, entries in groups.items()}}


def test_a_config_that_says_nothing_gets_the_native_backends_defaults():
    assert plan() == SessionPlan("ORT_ENABLE_ALL", "ORT_SEQUENTIAL", 0, 0, True, True, ((CPU, {}),))


def test_every_setting_is_carried_over():
    asked = plan(
        {
            "execution_mode": "1",
            "intra_op_thread_count": "2",
            "inter_op_thread_count": "3",
            "enable_mem_arena": "0",
            "enable_mem_pattern": "False",
            "session.intra_op.allow_spinning": "0",
            "memory.enable_memory_arena_shrinkage": "cpu:0",
        },
        optimization={"graph": {"level": 1}},
    )

    assert asked == SessionPlan(
        "ORT_ENABLE_EXTENDED",
        "ORT_PARALLEL",
        2,
        3,
        False,
        False,
        ((CPU, {}),),
        {"session.intra_op.allow_spinning": "0"},
        {"memory.enable_memory_arena_shrinkage": "cpu:0"},
    )


@pytest.mark.parametrize(("level", "name"), [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (2, "ORT_DISABLE_ALL")])
def test_graph_levels_mean_what_they_mean_in_the_native_backend(level: int, name: str):
    assert plan(optimization={"graph": {"level": level}}).graph_optimization == name


def test_our_own_parameters_pass():
    assert plan({"radserve_digest_1": "abc"}) == plan()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"intra_op_thread_cuont": "1"}, "unknown parameter 'intra_op_thread_cuont'"),
        ({"session.intra_op.alow_spinning": "0"}, "unknown parameter 'session.intra_op.alow_spinning'"),
        ({"intra_op_thread_count": "many"}, "'intra_op_thread_count' is 'many', not a whole number"),
        ({"intra_op_thread_count": "-1"}, "'intra_op_thread_count' is -1; it must be 0 or more"),
        ({"execution_mode": "2"}, "'execution_mode' is 2; it must be one of 0, 1"),
        ({"enable_mem_arena": "perhaps"}, "'enable_mem_arena' is 'perhaps'"),
        ({"share_session_between_instances": "true"}, "needs the native onnxruntime backend"),
        ({"cudnn_conv_algo_search": "HEURISTIC"}, "'cudnn_conv_algo_search' is 'HEURISTIC', not a whole number"),
        ({"arena_extend_strategy": "2"}, "'arena_extend_strategy' is 2; it must be one of 0, 1"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(parameters: dict[str, str], words: str):
    with pytest.raises(ConfigError, match=words):
        plan(parameters)


@pytest.mark.parametrize(
    "config",
    [
        {"sequence_batching": {"max_sequence_idle_microseconds": "5"}},
        {"batch_input": [{"kind": "BATCH_ELEMENT_COUNT"}]},
        {"model_operations": {"op_library_filename": ["custom.so"]}},
        {"model_transaction_policy": {"decoupled": True}},
        {"optimization": {"graph": {"level": 7}}},
        {"optimization": accelerators(gpu=[{"name": "tensorrt"}])},
        {"optimization": accelerators(cpu=[{"name": "openvinoo"}])},
    ],
)
def test_what_this_backend_cannot_do_is_refused(config: dict[str, Any]):
    with pytest.raises(ConfigError):
        plan(**config)


def test_an_accelerator_whose_wheel_is_not_installed_is_refused_not_skipped():
    with pytest.raises(ConfigError, match=r"OpenVINOExecutionProvider is needed here.*has only CPUExecutionProvider"):
        plan(optimization=accelerators(cpu=[{"name": "openvino"}]))


def test_openvino_gets_its_options_where_it_is_installed():
    options = {"load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "bf16"}}'}
    accelerated = plan(
        optimization=accelerators(cpu=[{"name": "openvino", "parameters": options}]), available=(OPENVINO, CPU)
    )

    assert accelerated.providers == ((OPENVINO, options), (CPU, {}))
    assert accelerated.required == OPENVINO


def test_an_instance_on_a_gpu_never_settles_for_the_cpu():
    with pytest.raises(ConfigError, match="CUDAExecutionProvider is needed here"):
        plan(kind="GPU")


def test_cuda_options_come_from_the_top_level_as_the_native_backend_reads_them():
    parameters = {
        "cudnn_conv_algo_search": "1",
        "gpu_mem_limit": "2147483648",
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "1",
    }
    ignored = accelerators(gpu=[{"name": "cuda", "parameters": {"cudnn_conv_algo_search": "EXHAUSTIVE", "x": "y"}}])

    on_gpu = plan(parameters, kind="GPU", device_id=3, available=(CUDA, CPU), optimization=ignored)

    options = {
        "x": "y",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "1",
        "gpu_mem_limit": "2147483648",
        "device_id": "3",
    }
    assert on_gpu.providers == ((CUDA, options), (CPU, {}))
    assert plan(parameters).providers == ((CPU, {}),), "on a CPU they are read and not used"


@pytest.mark.parametrize("path", ONNX_CONFIGS, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_every_config_of_the_repository_is_understood(path, kind: str):
    message = Parse(path.read_text("utf-8"), ModelConfig())
    if message.platform == "ensemble":
        return
    config = MessageToDict(message, preserving_proto_field_name=True)

    understood = plan_session(config, kind=kind, device_id=0, available=(CUDA, CPU))

    assert understood.intra_op_threads > 0, "an idle session with default threads takes cores from the busy ones"
