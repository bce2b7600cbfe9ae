"""A running server's gRPC address in, the proof that tensors survive the way through it out.

Triton's Python stub can report READY and still exchange wrong data (another numpy than it was built for), so the answer
to numbers that all differ is held against plain arithmetic.
"""

from __future__ import annotations

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from radserve_triton.errors import SelfTestFailed

MODEL = "radserve_self_test"
BATCH, WIDTH = 3, 4
TIMEOUT_S = 30.0


def prove_known_answer(grpc_address: str) -> None:
    """Ask the self test's model one batch.

    Raises
    ------
    SelfTestFailed
        When it does not answer, or any element differs from what it must be.
    """
    pixels, values = question()
    try:
        result = _infer(grpc_address, {"pixels": pixels, "values": values})
    except InferenceServerException as error:
        raise SelfTestFailed(f"{MODEL} did not answer: {error.message()}") from error
    for name, wanted in expected_answer(pixels, values).items():
        got = _read(result, name)
        if got is None or got.dtype != wanted.dtype or not np.array_equal(got, wanted):
            answer = "nothing readable" if got is None else got.tolist()
            raise SelfTestFailed(
                f"{MODEL} answered {name} = {answer}, not {wanted.tolist()}: tensors are damaged on their way through"
                " the server's Python stub, and no answer of it can be trusted"
            )


def question() -> tuple[np.ndarray, np.ndarray]:
    """``(3, 4)`` uint8 and ``(3, 4)`` float32, no two elements alike."""
    pixels = np.arange(BATCH * WIDTH, dtype=np.uint8).reshape(BATCH, WIDTH) * 21 + 3
    values = np.linspace(-1.5, 1.25, BATCH * WIDTH, dtype=np.float32).reshape(BATCH, WIDTH)
    return pixels, values


def expected_answer(pixels: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
    """What the graph computes (triton_server/self_test/make_model.py), in numpy."""
    powers = np.float32(10) ** np.arange(WIDTH, dtype=np.float32)
    return {"mixed": pixels.astype(np.float32) * powers + values, "reversed": pixels[:, ::-1]}


def _read(result: InferResult, name: str) -> np.ndarray | None:
    """An output of the answer; None when it is not there, or has not as many bytes as its shape says."""
    try:
        array: np.ndarray | None = result.as_numpy(name)
    except ValueError:
        return None
    return array


def _infer(grpc_address: str, tensors: dict[str, np.ndarray]) -> InferResult:
    inputs = []
    for name, array in tensors.items():
        item = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        inputs.append(item.set_data_from_numpy(array))
    outputs = [InferRequestedOutput("mixed"), InferRequestedOutput("reversed")]
    # a hospital's web proxy would be asked for 127.0.0.1 too
    client = InferenceServerClient(grpc_address, channel_args=[("grpc.enable_http_proxy", 0)])
    try:
        return client.infer(MODEL, inputs, outputs=outputs, client_timeout=TIMEOUT_S)
    finally:
        client.close()
