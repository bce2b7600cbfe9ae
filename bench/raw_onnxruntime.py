"""(a) The exported networks in one process with ONNX Runtime, in turn: tensors in, films per second out. No server.

Which setting is fastest depends on machine and networks, so each is measured, and the best of them is what (b) has to
stand up to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bench.results import Load, RawRun
from bench.timing import load_of_callers, side_by_side


@dataclass(frozen=True, slots=True)
class Setting:
    """Intra-op threads of each session, whether they spin while they wait, and how many callers share the sessions."""

    threads: int
    spinning: bool
    callers: int


def settings(cores: int) -> tuple[Setting, ...]:
    """One caller with every core, as ONNX Runtime comes and without spinning; and one caller per core."""
    return (Setting(cores, True, 1), Setting(cores, False, 1), Setting(1, False, cores))


def measure(
    graphs: Sequence[Path],
    films: npt.NDArray[np.uint8],
    batches: Sequence[int],
    setting: Setting,
    *,
    seconds: float,
) -> RawRun:
    """Time the networks in ``graphs`` one after the other on batches of ``films`` ``(N, 1, S, S)``.

    In turn on purpose: a network alone in a process keeps its weights in cache, which no service of several does.
    """
    sessions = [session(graph, setting) for graph in graphs]
    rows = [_row(sessions, films, batch, setting.callers, seconds) for batch in batches]
    return RawRun(setting.threads, setting.spinning, setting.callers, tuple(rows))


def session(graph: Path, setting: Setting) -> ort.InferenceSession:
    """A session on the CPU as ``setting`` says."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if setting.spinning else "0")
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def batch_of(films: npt.NDArray[np.uint8], size: int, caller: int) -> npt.NDArray[np.uint8]:
    """``(size, 1, S, S)``: the films over and over, and each caller begins with another one."""
    return np.resize(np.roll(films, -caller, axis=0), (size, *films.shape[1:]))


def _row(
    sessions: Sequence[ort.InferenceSession], films: npt.NDArray[np.uint8], size: int, callers: int, seconds: float
) -> Load:
    calls: list[Callable[[], None]] = [
        partial(_through_all, sessions, batch_of(films, size, caller)) for caller in range(callers)
    ]
    return load_of_callers(size, side_by_side(calls, seconds=seconds), films_per_call=size)


def _through_all(sessions: Sequence[ort.InferenceSession], batch: npt.NDArray[np.uint8]) -> None:
    for one in sessions:
        one.run(["probability"], {"image": batch})
