"""``Triton`` over gRPC: one channel for the whole life of the service.

It uses the stub that tritonclient generates from Triton's protocol, on a channel of our own, and not tritonclient's
``InferenceServerClient``: that one drops the message limits as soon as it is given channel options (client/grpc
``_client.py``), hides the channel, whose state tells that another server may be answering, and turns gRPC's status
codes into text.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from radserve_contract.priority import Priority
from radserve_preproc.errors import BadModelOutput, ModelNotReady, RadserveError, Unavailable
from radserve_preproc.settings import Balancing
from radserve_preproc.triton import InferResult, ServedModel, Tensor
from radserve_preproc.triton_errors import translated

log = logging.getLogger(__name__)

INT32_MAX = 2**31 - 1
RETRY_PAUSE_S = 0.2
"""Longer than a reconnection to a Triton that is there, shorter than anybody notices."""
QUESTION_TIMEOUT_S = 5.0
"""For questions that Triton answers from memory (ready, config)."""


def channel_options(balancing: Balancing) -> list[tuple[str, str | int]]:
    """Options of every channel to Triton. gRPC's own message limit is 4 MB; volumes and full batches are larger."""
    return [
        ("grpc.max_send_message_length", INT32_MAX),
        ("grpc.max_receive_message_length", INT32_MAX),
        ("grpc.lb_policy_name", balancing.value),
        ("grpc.enable_http_proxy", 0),  # films never leave through the machine's web proxy
        # gRPC waits 1 s, then up to 2 min between attempts; a restarted Triton should be found sooner
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
        # a node that vanishes without a FIN would hold the channel for the 15 min of TCP's retransmissions. A server
        # bears two pings in 5 min without data; calls end within the request timeout, so 30 s stays below that
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]


def open_channel(address: str, balancing: Balancing) -> grpc.aio.Channel:
    """The only place where a channel to Triton is made. Call it on the event loop that will use it."""
    return grpc.aio.insecure_channel(address, options=channel_options(balancing))


class TritonGrpc:
    """One Triton address.

    Parameters
    ----------
    address
        ``host:port`` of the gRPC endpoint.
    on_retry
        Told the model's name when a call is made a second time.
    """

    def __init__(
        self,
        address: str,
        balancing: Balancing = Balancing.PICK_FIRST,
        on_retry: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._on_retry = on_retry
        self._channel = open_channel(address, balancing)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._connection = 0
        self._watch = asyncio.create_task(self._watch_channel())

    @property
    def connection(self) -> int:
        """How often the connection was lost so far."""
        return self._connection

    async def infer(
        self,
        model: str,
        tensors: Mapping[str, Tensor],
        outputs: Sequence[str],
        *,
        priority: Priority,
        timeout_s: float,
        request_id: str,
    ) -> InferResult:
        """See ``Triton.infer``. A call that found no server is made once more: inference has no side effects."""
        request = infer_request(model, tensors, outputs, priority=priority, request_id=request_id)
        try:
            response = await self._twice(model, self._stub.ModelInfer, request, timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._told(error, model) from None
        return InferResult(read_outputs(model, response), response.model_version)

    async def ready(self, model: str) -> bool:
        """See ``Triton.ready``."""
        response = await self._ask(self._stub.ModelReady, service_pb2.ModelReadyRequest(name=model), model)
        return bool(response.ready)

    async def config(self, model: str) -> ServedModel | None:
        """See ``Triton.config``."""
        try:
            metadata = await self._ask(self._stub.ModelMetadata, service_pb2.ModelMetadataRequest(name=model), model)
            response = await self._ask(self._stub.ModelConfig, service_pb2.ModelConfigRequest(name=model), model)
        except _UnknownModel:
            return None
        except Unavailable:
            await self._ask(
                self._stub.ServerLive, service_pb2.ServerLiveRequest(), model
            )  # raises when nobody is there
            raise ModelNotReady(f"Triton has no version of {model} loaded", model=model) from None
        parameters = {name: value.string_value for name, value in response.config.parameters.items()}
        return ServedModel(max(metadata.versions, key=int), parameters)

    async def close(self) -> None:
        """See ``Triton.close``."""
        self._watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watch
        await self._channel.close()

    async def _twice(self, model: str, call: Any, request: Any, timeout_s: float) -> Any:
        """The call; once more when no server was there and there is time."""
        until = time.monotonic() + timeout_s
        try:
            return await call(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            remaining_s = until - time.monotonic() - RETRY_PAUSE_S
            if error.code() is not grpc.StatusCode.UNAVAILABLE or remaining_s <= 0:
                raise
        self._on_retry(model)
        await asyncio.sleep(RETRY_PAUSE_S)
        return await call(request, timeout=remaining_s)

    async def _ask(self, call: Callable[..., Awaitable[Any]], question: Any, model: str) -> Any:
        try:
            return await call(question, timeout=QUESTION_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise _UnknownModel from None
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:  # of the question, not of a study
                raise Unavailable(f"Triton at {self._address} does not answer a question ({model})") from None
            raise translated(error.code(), model=model, address=self._address) from None

    def _told(self, error: grpc.aio.AioRpcError, model: str) -> RadserveError:
        """Our error for gRPC's. Triton's own words go to the log: they can name paths of its machine."""
        log.warning(
            "triton call failed",
            extra={"model": model, "grpc_status": error.code().name, "triton_said": error.details()},
        )
        return translated(error.code(), model=model, address=self._address)

    async def _watch_channel(self) -> None:
        """Count lost connections. Nothing is awaited between seeing a state and the next wait: none is missed."""
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.SHUTDOWN:
            await self._channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self._connection += 1
            state = self._channel.get_state(try_to_connect=True)


class _UnknownModel(Exception):
    """Triton's repository has no model of that name."""


def infer_request(
    model: str, tensors: Mapping[str, Tensor], outputs: Sequence[str], *, priority: Priority, request_id: str
) -> Any:
    """A ModelInferRequest. Tensors travel as raw little-endian bytes, C order; the priority is Triton's level."""
    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.parameters["priority"].uint64_param = priority.triton_level
    for name, tensor in tensors.items():
        request.inputs.add(name=name, datatype=np_to_triton_dtype(tensor.dtype), shape=tensor.shape)
        request.raw_input_contents.append(tensor.tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


def read_outputs(model: str, response: Any) -> dict[str, Tensor]:
    """The arrays of a ModelInferResponse, read-only, on the response's own bytes.

    Raises
    ------
    BadModelOutput
        An output's bytes do not fill its shape, or its type is none that numpy has.
    """
    if len(response.outputs) != len(response.raw_output_contents):
        raise BadModelOutput(f"{model} answered {len(response.outputs)} outputs with other contents", model=model)
    pairs = zip(response.outputs, response.raw_output_contents, strict=True)
    return {output.name: _array(model, output, content) for output, content in pairs}


def _array(model: str, output: Any, content: bytes) -> Tensor:
    dtype = triton_to_np_dtype(output.datatype)
    shape = tuple(output.shape)
    if dtype is None or dtype is np.object_ or math.prod(shape) * np.dtype(dtype).itemsize != len(content):
        raise BadModelOutput(
            f"output {output.name} of {model} has {len(content)} bytes for {output.datatype} {shape}",
            model=model,
            output=output.name,
        )
    return np.frombuffer(content, dtype).reshape(shape)
