"""What the command line of the benchmarks refuses before anything is measured."""

from __future__ import annotations

import pytest
import typer

from bench.__main__ import parsed
from bench.ct.run import measured as measured_ct
from bench.plan import Plan
from bench.run import run_all


def test_levels_are_ascending_and_each_once():
    assert parsed("8,1,8,16") == (1, 8, 16)


@pytest.mark.parametrize("levels", ["8", "2,4", "0,1", "-1,1", "", "1,x", "1,"])
def test_levels_without_the_single_request_are_refused(levels):
    with pytest.raises(typer.BadParameter, match="--levels"):
        parsed(levels)


@pytest.mark.parametrize(("half", "module"), [(run_all, "bench.run"), (measured_ct, "bench.ct.run")])
def test_a_missing_load_generator_is_missed_before_anything_is_measured(half, module, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{module}.machine", lambda venv: None)
    said = []
    plan = Plan(tmp_path, None, 1.0, (1,), tmp_path / "perf_analyzer", tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="perf_analyzer"):
        half(plan, tmp_path, said.append)
    assert said == []
