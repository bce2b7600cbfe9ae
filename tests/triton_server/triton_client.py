"""Arrays in, arrays out: the few calls of Triton's gRPC client that the tests here need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from radserve_triton.server import TritonServer


class Client:
    """Of one server; a request that fails raises InferenceServerException."""

    def __init__(self, server: TritonServer) -> None:
        self.raw = InferenceServerClient(server.grpc_address)

    def infer(
        self, model: str, x: np.ndarray, *, outputs: Sequence[str] = ("y",), version: str = "", priority: int = 0
    ) -> dict[str, np.ndarray]:
        """The outputs that were asked for, by name."""
        tensor = InferInput("x", list(x.shape), np_to_triton_dtype(x.dtype)).set_data_from_numpy(x)
        wanted = [InferRequestedOutput(name) for name in outputs]
        result = self.raw.infer(model, [tensor], version, outputs=wanted, priority=priority, client_timeout=60)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}

    def infer_together(self, model: str, inputs: Sequence[np.ndarray]) -> list[np.ndarray | str]:
        """Each request at the same moment; its ``y``, or the message of its error."""

        def ask(x: np.ndarray) -> np.ndarray | str:
            try:
                return self.infer(model, x)["y"]
            except InferenceServerException as error:
                return str(error.message())

        with ThreadPoolExecutor(len(inputs)) as pool:
            return list(pool.map(ask, inputs))

    def counts(self, model: str) -> tuple[int, int]:
        """How many items and how many executions the model has done so far.

        Triton counts a moment after it has answered, so this is asked until two answers are alike.
        """
        last = None
        while (found := self._counts(model)) != last:
            last = found
            time.sleep(0.2)
        return found

    def _counts(self, model: str) -> tuple[int, int]:
        statistics = self.raw.get_inference_statistics(model).model_stats[0]
        return statistics.inference_count, statistics.execution_count
