"""``python -m bench.stalls REPOSITORY MODEL``: one caller, one request at a time: how many stalled.

With ``priority_levels`` in a model's config 2 to 7 in 100 requests wait out the 500 ms of Triton's batcher; without
levels none does (model_repository/README.md). To see it, add levels to a copy of a served repository.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from tritonclient.utils import triton_to_np_dtype

from radserve_triton.server import TritonServer
from radserve_triton.settings import load_settings

REQUESTS = 400
STALLED_S = 0.3


def durations_s(address: str, model: str, requests: int) -> npt.NDArray[np.float64]:
    """Seconds of each of ``requests`` calls with a batch of one, one after the other."""
    client = triton.InferenceServerClient(address)
    inputs = [_random(tensor) for tensor in client.get_model_metadata(model, as_json=True)["inputs"]]
    client.infer(model, inputs)
    times = [time.perf_counter()]
    for _ in range(requests):
        client.infer(model, inputs)
        times.append(time.perf_counter())
    return np.diff(times)


def _random(tensor: dict[str, Any]) -> triton.InferInput:
    shape = [1, *(int(size) for size in tensor["shape"][1:])]
    values = np.random.default_rng(0).integers(0, 255, shape).astype(triton_to_np_dtype(tensor["datatype"]))
    given = triton.InferInput(tensor["name"], shape, tensor["datatype"])
    given.set_data_from_numpy(values)
    return given


def main(repository: str, model: str) -> None:
    """Print the distribution."""
    settings = load_settings(repository=Path(repository), grpc_port=0, http_port=0, metrics_port=0)
    with TritonServer(settings) as server:
        took_s = durations_s(server.grpc_address, model, REQUESTS)
    median, p99, longest = (1000 * value for value in (np.median(took_s), np.quantile(took_s, 0.99), took_s.max()))
    stalled = int((took_s > STALLED_S).sum())
    print(f"{model}: {REQUESTS} requests, median {median:.1f} ms, p99 {p99:.1f} ms, longest {longest:.1f} ms,")
    print(f"{stalled} over {STALLED_S:g} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
