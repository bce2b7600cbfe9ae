"""A model's parsed config.pbtxt in, what ONNX Runtime is to be told out. Pure: imports neither Triton nor onnxruntime.

The names and values are those of Triton's native ONNX Runtime backend, so that one config.pbtxt means the same thing in
both. Where the native backend ignores what it does not know, this one refuses: a misspelt setting is a load error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

# optimization { graph { level } }; 0, protobuf's default, is what an absent one means too
GRAPH_LEVELS = {-1: "ORT_ENABLE_BASIC", 0: "ORT_ENABLE_ALL", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
EXECUTION_MODES = {0: "ORT_SEQUENTIAL", 1: "ORT_PARALLEL"}
CONVOLUTION_SEARCHES = {0: "EXHAUSTIVE", 1: "HEURISTIC", 2: "DEFAULT"}
ARENA_STRATEGIES = {0: "kNextPowerOfTwo", 1: "kSameAsRequested"}
BOOLEANS = {"1": True, "on": True, "true": True, "0": False, "off": False, "false": False}

# ONNX Runtime takes any key silently, so the list is ours (from onnxruntime_session_options_config_keys.h)
SESSION_ENTRIES = frozenset(
    {
        "session.use_device_allocator_for_initializers",
        "session.intra_op.allow_spinning",
        "session.inter_op.allow_spinning",
        "session.set_denormal_as_zero",
        "session.disable_prepacking",
    }
)
RUN_ENTRIES = frozenset({"memory.enable_memory_arena_shrinkage"})
OUR_PREFIX = "radserve_"  # facts for the service: digest, trained or not, class names

UNSUPPORTED = ("sequence_batching", "batch_input", "batch_output", "model_operations")


class ConfigError(Exception):
    """The config asks for something this backend does not know or cannot do; the model must not load."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """Everything a session is opened with. Thread counts of 0 leave the choice to ONNX Runtime.

    ``providers`` are in order of preference, each with its options; ``required`` must be the first one that the opened
    session names, else ONNX Runtime has silently fallen back.
    """

    graph_optimization: str
    execution_mode: str
    intra_op_threads: int
    inter_op_threads: int
    memory_arena: bool
    memory_pattern: bool
    providers: tuple[tuple[str, Mapping[str, str]], ...]
    session_entries: Mapping[str, str] = field(default_factory=dict)
    run_entries: Mapping[str, str] = field(default_factory=dict)

    @property
    def required(self) -> str:
        """The provider that has to be in use after the session is opened."""
        return self.providers[0][0]


def plan_session(config: Mapping[str, Any], *, kind: str, device_id: int, available: Collection[str]) -> SessionPlan:
    """What ``config`` asks of ONNX Runtime for an instance of ``kind`` (``CPU`` or ``GPU``) on GPU ``device_id``.

    Parameters
    ----------
    config
        The model config as Triton gives it to a backend: parsed JSON, integers of 64 bits as texts.
    available
        The execution providers of the installed onnxruntime wheel.

    Raises
    ------
    ConfigError
        For a parameter, value or accelerator that is unknown or not available here; it names it.
    """
    _refuse_unsupported(config)
    parameters = {key: entry["string_value"] for key, entry in config.get("parameters", {}).items()}
    _refuse_unknown(parameters)
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    return SessionPlan(
        graph_optimization=_choice("optimization.graph.level", level, GRAPH_LEVELS),
        execution_mode=_choice("execution_mode", _integer(parameters, "execution_mode", 0), EXECUTION_MODES),
        intra_op_threads=_count(parameters, "intra_op_thread_count"),
        inter_op_threads=_count(parameters, "inter_op_thread_count"),
        memory_arena=_boolean(parameters, "enable_mem_arena", True),
        memory_pattern=_boolean(parameters, "enable_mem_pattern", True),
        providers=_providers(config, parameters, kind, device_id, available),
        session_entries={key: value for key, value in parameters.items() if key in SESSION_ENTRIES},
        run_entries={key: value for key, value in parameters.items() if key in RUN_ENTRIES},
    )


CUDA_PARAMETERS = ("cudnn_conv_algo_search", "gpu_mem_limit", "arena_extend_strategy", "do_copy_in_default_stream")
KNOWN = {
    "execution_mode",
    "intra_op_thread_count",
    "inter_op_thread_count",
    "enable_mem_arena",
    "enable_mem_pattern",
    *CUDA_PARAMETERS,
    *SESSION_ENTRIES,
    *RUN_ENTRIES,
}


def _refuse_unsupported(config: Mapping[str, Any]) -> None:
    for name in UNSUPPORTED:
        if config.get(name):
            raise ConfigError(f"'{name}' is not supported by the Python-based onnxruntime backend")
    if config.get("model_transaction_policy", {}).get("decoupled"):
        raise ConfigError("a decoupled model_transaction_policy is not supported by the onnxruntime backend")


def _refuse_unknown(parameters: Mapping[str, str]) -> None:
    for name in parameters:
        if name == "share_session_between_instances":
            # every instance of a Python-based backend is a process of its own
            raise ConfigError("parameter 'share_session_between_instances' needs the native onnxruntime backend")
        if name not in KNOWN and not name.startswith(OUR_PREFIX):
            raise ConfigError(f"unknown parameter '{name}'; the onnxruntime backend knows {', '.join(sorted(KNOWN))}")


def _providers(
    config: Mapping[str, Any], parameters: Mapping[str, str], kind: str, device_id: int, available: Collection[str]
) -> tuple[tuple[str, Mapping[str, str]], ...]:
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    on_gpu = accelerators.get("gpu_execution_accelerator", [])
    on_cpu = accelerators.get("cpu_execution_accelerator", [])
    _refuse_accelerators(on_gpu, {"cuda"})
    _refuse_accelerators(on_cpu, {"openvino"})
    providers: list[tuple[str, Mapping[str, str]]] = []
    cuda = _cuda_options(on_gpu, parameters, device_id)  # read in any case: a wrong value is wrong on the CPU too
    if kind == "GPU":
        providers.append((CUDA, cuda))
    providers.extend((OPENVINO, dict(accelerator.get("parameters", {}))) for accelerator in on_cpu)
    for name, _ in providers:
        if name not in available:
            raise ConfigError(f"{name} is needed here, but the installed onnxruntime has only {', '.join(available)}")
    return (*providers, (CPU, {}))


def _refuse_accelerators(accelerators: list[Mapping[str, Any]], known: set[str]) -> None:
    for accelerator in accelerators:
        if accelerator["name"] not in known:
            raise ConfigError(f"unknown execution accelerator '{accelerator['name']}'; known: {', '.join(known)}")


def _cuda_options(on_gpu: list[Mapping[str, Any]], parameters: Mapping[str, str], device_id: int) -> dict[str, str]:
    """Options of the CUDA provider; the native backend's order, in which the top-level parameters win."""
    options: dict[str, str] = {}
    for accelerator in on_gpu:
        options |= accelerator.get("parameters", {})
    search = _integer(parameters, "cudnn_conv_algo_search", 0)
    strategy = _integer(parameters, "arena_extend_strategy", 0)
    options["cudnn_conv_algo_search"] = _choice("cudnn_conv_algo_search", search, CONVOLUTION_SEARCHES)
    options["arena_extend_strategy"] = _choice("arena_extend_strategy", strategy, ARENA_STRATEGIES)
    options["do_copy_in_default_stream"] = str(int(_boolean(parameters, "do_copy_in_default_stream", True)))
    if "gpu_mem_limit" in parameters:
        options["gpu_mem_limit"] = str(_count(parameters, "gpu_mem_limit"))
    return options | {"device_id": str(device_id)}


def _choice(name: str, value: int, choices: Mapping[int, str]) -> str:
    if value not in choices:
        raise ConfigError(f"'{name}' is {value}; it must be one of {', '.join(map(str, choices))}")
    return choices[value]


def _integer(parameters: Mapping[str, str], name: str, default: int) -> int:
    text = parameters.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"parameter '{name}' is '{text}', not a whole number") from None


def _count(parameters: Mapping[str, str], name: str) -> int:
    value = _integer(parameters, name, 0)
    if value < 0:
        raise ConfigError(f"parameter '{name}' is {value}; it must be 0 or more")
    return value


def _boolean(parameters: Mapping[str, str], name: str, default: bool) -> bool:
    text = parameters.get(name, str(default))
    if text.lower() not in BOOLEANS:
        raise ConfigError(f"parameter '{name}' is '{text}'; it must be one of {', '.join(BOOLEANS)}")
    return BOOLEANS[text.lower()]
