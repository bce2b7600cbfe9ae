"""A ``FakeTriton`` in, a gRPC server that speaks Triton's protocol and answers as it does out."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from radserve_contract.priority import Priority
from tests.fake_triton import FakeTriton


class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
    """``requests`` keeps what was received. ``fail_next`` holds status codes for the next calls of ModelInfer.

    ``deaf_for`` is how many questions about readiness find nobody.
    """

    def __init__(self, triton: FakeTriton) -> None:
        self.triton = triton
        self.requests: list[Any] = []
        self.fail_next: list[grpc.StatusCode] = []
        self.deaf_for = 0
        self.cancelled = 0

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=True)

    async def ModelReady(self, request: Any, context: Any) -> Any:
        if self.deaf_for:
            self.deaf_for -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset")
        return service_pb2.ModelReadyResponse(ready=await self.triton.ready(request.name))

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        model = await self._model(request.name, context)
        return service_pb2.ModelMetadataResponse(name=request.name, versions=[model.version])

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        model = await self._model(request.name, context)
        response = service_pb2.ModelConfigResponse()
        response.config.name = request.name
        for name, value in model.parameters.items():
            response.config.parameters[name].string_value = value
        return response

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        if self.fail_next:
            await context.abort(self.fail_next.pop(0), "what Triton says: /models/x")
        try:
            return await self._infer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _infer(self, request: Any) -> Any:
        pairs = zip(request.inputs, request.raw_input_contents, strict=True)
        tensors = {
            item.name: np.frombuffer(content, triton_to_np_dtype(item.datatype)).reshape(tuple(item.shape))
            for item, content in pairs
        }
        names = [output.name for output in request.outputs]
        result = await self.triton.infer(
            request.model_name, tensors, names, priority=Priority.ROUTINE, timeout_s=60, request_id=request.id
        )
        response = service_pb2.ModelInferResponse(
            model_name=request.model_name, model_version=result.model_version, id=request.id
        )
        for name, array in result.outputs.items():
            response.outputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
            response.raw_output_contents.append(array.tobytes())
        return response

    async def _model(self, name: str, context: Any) -> Any:
        model = await self.triton.config(name)
        if model is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        if name in self.triton.not_ready:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"unknown model: '{name}' has no available versions")
        return model


@contextlib.asynccontextmanager
async def served(
    servicer: Servicer,
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
    *,
    stop_grace_s: float | None = None,
) -> AsyncIterator[int]:
    """The server on this event loop; its port. With ``credentials`` it speaks TLS.

    When it stops, calls get ``stop_grace_s`` to end; None cancels them.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 2**31 - 1)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    address = f"127.0.0.1:{port}"
    bound = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    try:
        yield bound
    finally:
        await server.stop(grace=stop_grace_s)


@contextlib.contextmanager
def served_in_thread(servicer: Servicer, port: int = 0) -> Iterator[int]:
    """The server on an event loop of its own, for programs in other processes; its port."""
    ready, stop = threading.Event(), threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with served(servicer, port) as bound:
            ports.append(bound)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(30), "the fake server did not start"
    try:
        yield ports[0]
    finally:
        stop.set()
        thread.join(30)
