"""(a): which settings are measured, and that sessions and batches are what a setting says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench import raw_onnxruntime
from bench.raw_onnxruntime import Setting, batch_of, session, settings
from bench.run import some_of

ROOT = Path(__file__).resolve().parents[2]
GRAPH = ROOT / "triton_server" / "self_test" / "radserve_self_test" / "1" / "model.onnx"
FILMS = np.arange(2, dtype=np.uint8).reshape(2, 1, 1, 1)


def test_spinning_not_spinning_and_a_caller_per_core_are_measured():
    assert settings(4) == (Setting(4, True, 1), Setting(4, False, 1), Setting(1, False, 4))


@pytest.mark.parametrize("spinning", [True, False])
def test_a_session_has_the_threads_of_its_setting(spinning):
    options = session(GRAPH, Setting(3, spinning, 1)).get_session_options()
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == str(int(spinning))


def test_callers_run_different_batches():
    assert batch_of(FILMS, 1, 0).ravel().tolist() == [0]
    assert batch_of(FILMS, 1, 1).ravel().tolist() == [1]
    assert batch_of(FILMS, 5, 1).ravel().tolist() == [1, 0, 1, 0, 1]


def test_every_caller_runs_every_network_in_turn(monkeypatch):
    ran = []

    class Session:
        def __init__(self, graph):
            self.graph = graph

        def run(self, outputs, feed):
            ran.append((self.graph, feed["image"][0].item(), len(feed["image"])))

    monkeypatch.setattr(raw_onnxruntime, "session", lambda graph, setting: Session(graph))
    run = raw_onnxruntime.measure(["one", "two"], FILMS, (1, 2), Setting(1, False, 2), seconds=0)
    assert (run.threads, run.spinning, run.callers) == (1, False, 2)
    assert [row.level for row in run.rows] == [1, 2]
    assert {(graph, first, size) for graph, first, size in ran} == {
        (graph, first, size) for graph in ("one", "two") for first in (0, 1) for size in (1, 2)
    }


def test_additional_lines_are_few():
    assert some_of((1, 2, 4, 8, 16)) == (1, 4, 16)
    assert some_of((1, 8)) == (1, 8)
    assert some_of((1,)) == (1,)
