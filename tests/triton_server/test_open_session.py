"""Opening a session as planned, without Triton: its Python interface exists only inside a stub process."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnx
import onnxruntime
import pytest
from session_plan import CPU, CUDA, ConfigError, SessionPlan, plan_session

from tests.triton_server.repositories import add

PLAN = plan_session({"parameters": {}}, kind="CPU", device_id=0, available=[CPU])


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The backend's model.py, with an empty module in place of Triton's."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
    for name in ("model", "dlpack"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("model")


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    onnx.save(add(1), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_the_sessions_options_are_the_plans(model: ModuleType, graph: Path):
    plan = replace(
        PLAN,
        graph_optimization="ORT_ENABLE_BASIC",
        execution_mode="ORT_PARALLEL",
        intra_op_threads=2,
        inter_op_threads=3,
        memory_arena=False,
        memory_pattern=False,
        session_entries={"session.intra_op.allow_spinning": "0"},
    )

    options = model.open_session(graph, plan).get_session_options()

    assert options.graph_optimization_level == onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.execution_mode == onnxruntime.ExecutionMode.ORT_PARALLEL
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 3)
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_entries_for_each_run_are_the_plans(model: ModuleType):
    options = model.run_options(replace(PLAN, run_entries={"memory.enable_memory_arena_shrinkage": "cpu:0"}))

    assert options.get_run_config_entry("memory.enable_memory_arena_shrinkage") == "cpu:0"


def test_a_provider_that_silently_falls_back_is_refused(model: ModuleType, graph: Path, monkeypatch):
    """As onnxruntime-gpu does on a machine without a driver: it logs an error and hands out a CPU session."""
    on_the_cpu = SimpleNamespace(get_providers=lambda: [CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: on_the_cpu)
    on_a_gpu: SessionPlan = replace(PLAN, providers=((CUDA, {}), (CPU, {})))

    with pytest.raises(ConfigError, match="CUDAExecutionProvider was asked for, ONNX Runtime fell back to CPU"):
        model.open_session(graph, on_a_gpu)


def test_a_file_that_is_no_graph_is_refused_by_its_path(model: ModuleType, graph: Path):
    graph.write_bytes(b"no graph")

    with pytest.raises(ConfigError, match=r"model\.onnx does not load"):
        model.open_session(graph, PLAN)


@pytest.mark.parametrize("config", [{}, {"default_model_filename": ""}, {"default_model_filename": "model.onnx"}])
def test_the_graph_of_the_version_that_loads_is_the_one_opened(model: ModuleType, tmp_path: Path, config: dict):
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model.onnx").touch()

    path = model.graph_path({"model_repository": str(tmp_path), "model_version": "2"}, config)

    assert path == tmp_path / "2" / "model.onnx"
