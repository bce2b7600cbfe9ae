"""(a) The exported networks in one process with ONNX Runtime, in turn: tensors in, films per second out. No server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from bench.results import Load, RawRun
from bench.timing import load_of, repeated


def measure(
    graphs: Sequence[Path],
    films: npt.NDArray[np.uint8],
    batches: Sequence[int],
    *,
    threads: int,
    seconds: float,
) -> RawRun:
    """Time the networks in ``graphs`` one after the other on batches of ``films`` ``(N, 1, S, S)``.

    In turn on purpose: a network alone in a process keeps its weights in cache, which no service of several does.
    """
    sessions = [_session(graph, threads) for graph in graphs]
    rows = [_row(sessions, np.resize(films, (batch, *films.shape[1:])), seconds) for batch in batches]
    return RawRun(threads, tuple(rows))


def _session(graph: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _row(sessions: Sequence[ort.InferenceSession], batch: npt.NDArray[np.uint8], seconds: float) -> Load:
    def films_through_all() -> None:
        for session in sessions:
            session.run(["probability"], {"image": batch})

    taken = repeated(films_through_all, seconds=seconds)
    return load_of(len(batch), taken, films_per_call=len(batch), window_s=sum(taken))
