"""What shared memory would spare ``radserve score --via triton``: tensors to a Triton here, through gRPC and beside it.

``python -m bench.score_transport`` starts a Triton with a model that does nothing but take a tensor, sends tensors of
the sizes that the pipelines send (a film: three classifiers' and the detector's; a volume), and prints per tensor the
core time of client and server and the time on the clock. Shared memory is at its best here: one region, registered
once, and the tensor is written straight into it. docs/score-ways.md has what came out.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2, service_pb2_grpc

from radserve_preproc.settings import Balancing
from radserve_preproc.triton_channel import open_channel
from radserve_triton.server import TritonServer
from radserve_triton.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
SIZES = {
    "classifier 224 x 224": 224 * 224,
    "detector 640 x 640": 640 * 640,
    "volume 128 x 128 x 64": 4 * 128 * 128 * 64,
}
CALLS = 300
AT_ONCE = 4
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        out = [pb_utils.Tensor("seen", np.ones((1,), np.uint8)) for _ in requests]
        return [pb_utils.InferenceResponse([tensor]) for tensor in out]
"""
CONFIG = """
name: "sink"
backend: "python"
max_batch_size: 0
input [ { name: "tensor" data_type: TYPE_UINT8 dims: [ -1 ] } ]
output [ { name: "seen" data_type: TYPE_UINT8 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU, count: 1 } ]
"""
Tensor = npt.NDArray[np.uint8]
Send = Callable[[int, Tensor], Awaitable[Any]]


@dataclass(frozen=True)
class Cost:
    """Milliseconds per tensor."""

    client_core_ms: float
    server_core_ms: float
    clock_ms: float


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        repository = _repository(Path(folder))
        settings = load_settings(
            {},
            repository=repository,
            runtime=ROOT / ".venv-triton",
            verify=False,
            grpc_port=0,
            http_port=0,
            metrics_port=0,
        )
        with TritonServer(settings) as server:
            asyncio.run(_measure_all(server))


async def _measure_all(server: TritonServer) -> None:
    channel = open_channel(server.grpc_address, Balancing.PICK_FIRST)
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    print(f"{'tensor':24}{'through':>16}{'client core ms':>16}{'server core ms':>16}{'clock ms':>10}")
    for name, size_bytes in SIZES.items():
        region = SharedMemory(create=True, size=size_bytes * AT_ONCE)
        try:
            await _register(stub, region)
            ways: dict[str, Send] = {
                "gRPC": lambda _, tensor: stub.ModelInfer(_request(tensor)),
                "shared memory": _beside(stub, region),
            }
            for way, send in [*ways.items(), *ways.items()]:  # twice: the first also warms up
                cost = await _cost(send, size_bytes, server)
                print(
                    f"{name:24}{way:>16}{cost.client_core_ms:>16.3f}{cost.server_core_ms:>16.3f}{cost.clock_ms:>10.3f}"
                )
            await stub.SystemSharedMemoryUnregister(service_pb2.SystemSharedMemoryUnregisterRequest(name="tensors"))
        finally:
            region.close()
            region.unlink()
    await channel.close()


async def _cost(send: Send, size_bytes: int, server: TritonServer) -> Cost:
    """The mean over ``CALLS`` tensors, ``AT_ONCE`` at a time."""
    tensor = np.random.default_rng(0).integers(0, 256, size_bytes, np.uint8)
    client, served, clock = time.process_time(), _core_s(server), time.perf_counter()

    async def caller(slot: int) -> None:
        for _ in range(CALLS // AT_ONCE):
            await send(slot, tensor)

    await asyncio.gather(*map(caller, range(AT_ONCE)))
    spent = (time.process_time() - client, _core_s(server) - served, time.perf_counter() - clock)
    return Cost(*(1000 * seconds / CALLS for seconds in spent))


def _beside(stub: Any, region: SharedMemory) -> Send:
    """Write the tensor into its slot of the region, and send where it is."""

    async def send(slot: int, tensor: Tensor) -> Any:
        start = slot * tensor.size
        np.ndarray(tensor.shape, np.uint8, region.buf, start)[:] = tensor
        return await stub.ModelInfer(_request(tensor, start))

    return send


def _request(tensor: Tensor, start: int | None = None) -> Any:
    request = service_pb2.ModelInferRequest(model_name="sink")
    described = request.inputs.add(name="tensor", datatype="UINT8", shape=tensor.shape)
    request.outputs.add(name="seen")
    if start is None:
        request.raw_input_contents.append(tensor.tobytes())
        return request
    described.parameters["shared_memory_region"].string_param = "tensors"
    described.parameters["shared_memory_byte_size"].int64_param = tensor.size
    described.parameters["shared_memory_offset"].int64_param = start
    return request


async def _register(stub: Any, region: SharedMemory) -> None:
    await stub.SystemSharedMemoryRegister(
        service_pb2.SystemSharedMemoryRegisterRequest(
            name="tensors", key=f"/{region.name.lstrip('/')}", offset=0, byte_size=region.size
        )
    )


def _core_s(server: TritonServer) -> float:
    """Core seconds of the server and the processes of its models so far."""
    root = server.process.id
    parents = {pid: _stat(pid) for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*"))}
    tree = {root}
    while more := {pid for pid, stat in parents.items() if stat and int(stat[1]) in tree} - tree:
        tree |= more
    return sum(float(parents[pid][11]) + float(parents[pid][12]) for pid in tree if parents.get(pid)) / TICKS_PER_S


def _stat(pid: int) -> list[str]:
    """The fields of proc(5) stat after the name: state, parent, ...; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _repository(folder: Path) -> Path:
    (folder / "sink" / "1").mkdir(parents=True)
    (folder / "sink" / "1" / "model.py").write_text(MODEL)
    (folder / "sink" / "config.pbtxt").write_text(CONFIG)
    return folder


if __name__ == "__main__":
    main()
