"""``Triton`` over gRPC: one long-lived client for the whole life of the service.

It uses the stub that tritonclient generates from Triton's protocol, on a channel of our own (triton_channel.py), and
not tritonclient's ``InferenceServerClient``: that one drops the message limits as soon as it is given channel options
(client/grpc ``_client.py``), hides the channel, whose state tells that another server may be answering, and turns
gRPC's status codes into text.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from radserve_contract.priority import Priority
from radserve_preproc.errors import BadModelOutput, ModelNotReady, RadserveError, Unavailable
from radserve_preproc.settings import Balancing
from radserve_preproc.tracing import trace_metadata
from radserve_preproc.triton import InferResult, ServedModel, Tensor
from radserve_preproc.triton_channel import TritonChannel
from radserve_preproc.triton_errors import translated
from radserve_preproc.triton_tls import TlsFiles

log = logging.getLogger(__name__)

RETRY_PAUSE_S = 0.2
"""Longer than a reconnection to a Triton that is there, shorter than anybody notices."""
QUESTION_TIMEOUT_S = 5.0
"""For questions that Triton answers from memory (ready, config)."""
SILENT_S = 60.0
"""A question that fails is asked again every second; its words are logged once in this time."""


class TritonGrpc:
    """One Triton address.

    Parameters
    ----------
    address
        ``host:port`` of the gRPC endpoint, or ``dns:///name:port`` for every address of the name.
    on_retry
        Told the model's name when a call is made a second time.
    tls
        The files to encrypt with; None for a network that is trusted. ConfigurationError when they cannot be read.
    """

    def __init__(
        self,
        address: str,
        balancing: Balancing = Balancing.PICK_FIRST,
        on_retry: Callable[[str], None] = lambda _: None,
        tls: TlsFiles | None = None,
    ) -> None:
        self._address = address
        self._on_retry = on_retry
        self._channel = TritonChannel(address, balancing, tls)
        self._silent_until = 0.0

    @property
    def connection(self) -> int:
        """How often the connection was lost so far."""
        return self._channel.connection

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
            response = await self._twice("ModelInfer", request, timeout_s, lambda: self._on_retry(model))
        except grpc.aio.AioRpcError as error:
            raise self._told(error, model) from None
        return InferResult(read_outputs(model, response), response.model_version)

    async def ready(self, model: str) -> bool:
        """See ``Triton.ready``."""
        response = await self._ask("ModelReady", service_pb2.ModelReadyRequest(name=model), model)
        return bool(response.ready)

    async def config(self, model: str) -> ServedModel | None:
        """See ``Triton.config``."""
        try:
            metadata = await self._ask("ModelMetadata", service_pb2.ModelMetadataRequest(name=model), model)
            response = await self._ask("ModelConfig", service_pb2.ModelConfigRequest(name=model), model)
        except _UnknownModel:
            return None
        except Unavailable:
            await self._ask("ServerLive", service_pb2.ServerLiveRequest(), model)  # raises when nobody is there
            raise ModelNotReady(f"Triton has no version of {model} loaded", model=model) from None
        parameters = {name: value.string_value for name, value in response.config.parameters.items()}
        return ServedModel(max(metadata.versions, key=int), parameters)

    async def close(self) -> None:
        """See ``Triton.close``."""
        await self._channel.close()

    async def _twice(
        self, call: str, request: Any, timeout_s: float, on_retry: Callable[[], None] = lambda: None
    ) -> Any:
        """The call; once more when no server was there and there is time."""
        until = time.monotonic() + timeout_s
        try:
            return await self._call(call, request, timeout_s)
        except grpc.aio.AioRpcError as error:
            remaining_s = until - time.monotonic() - RETRY_PAUSE_S
            if error.code() is not grpc.StatusCode.UNAVAILABLE or remaining_s <= 0:
                raise
        on_retry()
        await asyncio.sleep(RETRY_PAUSE_S)
        return await self._call(call, request, remaining_s)

    async def _call(self, call: str, request: Any, timeout_s: float) -> Any:
        """One call on the channel that is in use now."""
        return await getattr(self._channel.stub, call)(request, timeout=timeout_s, metadata=trace_metadata())

    async def _ask(self, call: str, question: Any, model: str) -> Any:
        try:
            return await self._twice(call, question, QUESTION_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                raise _UnknownModel from None
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:  # of the question, not of a study
                raise Unavailable(f"Triton at {self._address} does not answer a question ({model})") from None
            if time.monotonic() >= self._silent_until:
                self._silent_until = time.monotonic() + SILENT_S
                _log(error, model)
            raise translated(error.code(), model=model, address=self._address) from None

    def _told(self, error: grpc.aio.AioRpcError, model: str) -> RadserveError:
        """Our error for gRPC's."""
        _log(error, model)
        return translated(error.code(), model=model, address=self._address)


class _UnknownModel(Exception):
    """Triton's repository has no model of that name."""


def _log(error: grpc.aio.AioRpcError, model: str) -> None:
    """Triton's own words, or gRPC's on why TLS failed, go to the log alone: they can name paths of its machine."""
    log.warning(
        "triton call failed",
        extra={"model": model, "grpc_status": error.code().name, "triton_said": error.details()},
    )


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
