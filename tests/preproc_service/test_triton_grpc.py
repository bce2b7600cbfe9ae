"""The real gRPC client before a gRPC server that speaks Triton's protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from radserve_contract.pipelines import spine
from radserve_contract.priority import Priority
from radserve_preproc import triton_grpc
from radserve_preproc.errors import BadModelOutput, Busy, DeadlineExceeded, ModelFailed, ModelNotReady, Unavailable
from radserve_preproc.settings import Balancing
from radserve_preproc.triton import InferResult
from radserve_preproc.triton_channel import INT32_MAX, channel_options
from radserve_preproc.triton_errors import TABLE, translated
from radserve_preproc.triton_grpc import TritonGrpc, read_outputs
from tests.fake_triton import CLASSES, FakeTriton, digest_of, published
from tests.fake_triton_server import Servicer, served

MODEL = spine.DEPLOYED.classification
IMAGE = np.arange(224 * 224, dtype=np.uint8).reshape(1, 1, 224, 224)


@asynccontextmanager
async def connected(servicer: Servicer, **options: Any) -> AsyncIterator[TritonGrpc]:
    """A client of a running server."""
    async with served(servicer) as port:
        client = TritonGrpc(f"127.0.0.1:{port}", **options)
        try:
            yield client
        finally:
            await client.close()


def infer(
    client: TritonGrpc, *, timeout_s: float = 10.0, priority: Priority = Priority.ROUTINE
) -> Coroutine[Any, Any, InferResult]:
    return client.infer(
        MODEL,
        {"classifier_image": IMAGE},
        ["score", "densenet121"],
        priority=priority,
        timeout_s=timeout_s,
        request_id="request-1",
    )


def test_tensors_arrive_as_sent_and_outputs_as_answered() -> None:
    triton = FakeTriton()

    async def main() -> None:
        async with connected(Servicer(triton)) as client:
            result = await infer(client)
        assert result.model_version == "1"
        assert {name: (array.shape, array.dtype) for name, array in result.outputs.items()} == {
            "score": ((1, 1), np.float32),
            "densenet121": ((1, 1), np.float32),
        }
        assert result.outputs["score"].item() == np.float32(0.8)

    asyncio.run(main())
    np.testing.assert_array_equal(triton.calls[0].tensors["classifier_image"], IMAGE)


@pytest.mark.parametrize(("priority", "level"), [(Priority.STAT, 1), (Priority.URGENT, 2), (Priority.ROUTINE, 3)])
def test_priority_and_request_id_reach_triton(priority: Priority, level: int) -> None:
    servicer = Servicer(FakeTriton())

    async def main() -> None:
        async with connected(servicer) as client:
            await infer(client, priority=priority)

    asyncio.run(main())
    assert servicer.requests[0].parameters["priority"].uint64_param == level
    assert servicer.requests[0].id == "request-1"


def test_a_volume_of_512_mb_passes_where_grpc_would_stop_at_4() -> None:
    triton = FakeTriton()
    volume = np.zeros((1, 1024, 512, 512), np.uint16)

    async def main() -> None:
        async with connected(Servicer(triton), balancing=Balancing.ROUND_ROBIN) as client:
            await client.infer(
                MODEL, {"v": volume}, ["score"], priority=Priority.STAT, timeout_s=120, request_id="request-1"
            )

    asyncio.run(main())
    assert triton.calls[0].tensors["v"].nbytes == volume.nbytes


@pytest.mark.parametrize("balancing", list(Balancing))
def test_every_channel_lifts_grpcs_message_limits(balancing: Balancing) -> None:
    options = dict(channel_options(balancing))
    assert options["grpc.max_send_message_length"] == INT32_MAX == 2**31 - 1
    assert options["grpc.max_receive_message_length"] == INT32_MAX
    assert options["grpc.lb_policy_name"] == balancing.value


def test_a_call_that_finds_no_server_is_made_once_more() -> None:
    servicer = Servicer(FakeTriton())
    servicer.fail_next = [grpc.StatusCode.UNAVAILABLE]
    retried: list[str] = []

    async def main() -> None:
        async with connected(servicer, on_retry=retried.append) as client:
            await infer(client)

    asyncio.run(main())
    assert len(servicer.requests) == 2
    assert retried == [MODEL]


def test_a_question_that_finds_no_server_is_asked_once_more_and_is_no_retried_study() -> None:
    servicer = Servicer(FakeTriton())
    retried: list[str] = []

    async def main() -> None:
        async with connected(servicer, on_retry=retried.append) as client:
            servicer.deaf_for = 1
            assert await client.ready(MODEL)
            servicer.deaf_for = 2
            with pytest.raises(Unavailable, match="does not answer"):
                await client.ready(MODEL)

    asyncio.run(main())
    assert retried == []


def test_a_second_failure_is_final() -> None:
    servicer = Servicer(FakeTriton())
    servicer.fail_next = [grpc.StatusCode.UNAVAILABLE] * 3

    async def main() -> None:
        async with connected(servicer) as client:
            with pytest.raises(Unavailable, match="does not answer"):
                await infer(client)

    asyncio.run(main())
    assert len(servicer.requests) == 2


def test_no_second_call_without_time_for_it() -> None:
    servicer = Servicer(FakeTriton())
    servicer.fail_next = [grpc.StatusCode.UNAVAILABLE] * 3

    async def main() -> None:
        async with connected(servicer) as client:
            await client.ready(MODEL)
            with pytest.raises(Unavailable):
                await infer(client, timeout_s=triton_grpc.RETRY_PAUSE_S / 2)

    asyncio.run(main())
    assert len(servicer.requests) == 1


@pytest.mark.parametrize("status", [grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT])
def test_a_model_that_fails_is_not_called_again(status: grpc.StatusCode) -> None:
    servicer = Servicer(FakeTriton())
    servicer.fail_next = [status]

    async def main() -> None:
        async with connected(servicer) as client:
            with pytest.raises(ModelFailed) as caught:
                await infer(client)
        assert "/models/x" not in caught.value.message

    asyncio.run(main())
    assert len(servicer.requests) == 1


def test_the_deadline_goes_with_the_call() -> None:
    async def main() -> None:
        triton = FakeTriton(lambda model, tensors: asyncio.sleep(30))
        async with connected(Servicer(triton)) as client:
            started = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await infer(client, timeout_s=0.3)
            assert time.monotonic() - started < 5

    asyncio.run(main())


def test_a_cancelled_caller_cancels_the_call_in_triton() -> None:
    triton = FakeTriton(lambda model, tensors: asyncio.sleep(30))
    servicer = Servicer(triton)

    async def main() -> None:
        async with connected(servicer) as client:
            task = asyncio.create_task(infer(client))
            while not triton.calls:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            until = time.monotonic() + 5
            while not servicer.cancelled and time.monotonic() < until:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asyncio.run(main())
    assert servicer.cancelled == 1


def test_nobody_there_is_unavailable_and_says_where() -> None:
    async def main() -> None:
        client = TritonGrpc("127.0.0.1:1")
        try:
            with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 does not answer"):
                await infer(client)
        finally:
            await client.close()

    asyncio.run(main())


def test_a_restarted_server_counts_as_another_connection() -> None:
    servicer = Servicer(FakeTriton())

    async def main() -> None:
        async with served(servicer) as port:
            client = TritonGrpc(f"127.0.0.1:{port}")
            await infer(client)
            assert client.connection == 0
        async with served(servicer, port):
            await infer(client)
            assert client.connection == 1
            await infer(client)
            assert client.connection == 1
        await client.close()

    asyncio.run(main())


def test_config_reads_version_and_parameters() -> None:
    async def main() -> None:
        async with connected(Servicer(FakeTriton())) as client:
            detector = await client.config(spine.DETECTOR.name)
            assert detector is not None
            assert detector.version == "1"
            assert detector.parameters["radserve_digest_1"] == digest_of(spine.DETECTOR.name)
            assert CLASSES[0] in detector.parameters["radserve_classes_1"]

    asyncio.run(main())


def test_config_of_an_unknown_model_is_none_and_it_is_not_ready() -> None:
    async def main() -> None:
        async with connected(Servicer(FakeTriton())) as client:
            assert await client.config("nothing") is None
            assert not await client.ready("nothing")

    asyncio.run(main())


def test_a_model_without_a_loaded_version_is_told_from_a_server_that_is_down() -> None:
    triton = FakeTriton()
    triton.not_ready = {MODEL}

    async def main() -> None:
        async with connected(Servicer(triton)) as client:
            with pytest.raises(ModelNotReady, match=MODEL):
                await client.config(MODEL)
        client = TritonGrpc("127.0.0.1:1")
        with pytest.raises(Unavailable) as caught:
            await client.config(MODEL)
        assert not isinstance(caught.value, ModelNotReady)
        await client.close()

    asyncio.run(main())


def test_a_server_that_takes_questions_and_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_grpc, "QUESTION_TIMEOUT_S", 0.2)

    class Hanging(Servicer):
        async def ModelReady(self, request: Any, context: Any) -> Any:
            await asyncio.sleep(30)

    async def main() -> None:
        async with connected(Hanging(FakeTriton())) as client:
            with pytest.raises(Unavailable, match="does not answer a question"):
                await client.ready(MODEL)

    asyncio.run(main())


def test_the_highest_version_is_the_one_that_answers() -> None:
    triton = FakeTriton(models=published(spine.DEPLOYED, version="10"))

    class Two(Servicer):
        async def ModelMetadata(self, request: Any, context: Any) -> Any:
            response = await super().ModelMetadata(request, context)
            response.versions[:] = ["9", "10"]
            return response

    async def main() -> None:
        async with connected(Two(triton)) as client:
            served_model = await client.config(MODEL)
            assert served_model is not None
            assert served_model.version == "10"

    asyncio.run(main())


def test_the_error_table_has_every_status_of_grpc() -> None:
    assert set(TABLE) == set(grpc.StatusCode)


@pytest.mark.parametrize("status", list(grpc.StatusCode), ids=lambda status: status.name)
def test_every_translated_error_names_the_model_and_the_status(status: grpc.StatusCode) -> None:
    error = translated(status, model="spine_x", address="triton:8001")
    assert error.http_status in (429, 502, 503, 504)
    assert "spine_x" in error.message
    assert error.details["grpc_status"] == status.name


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.CANCELLED, Unavailable),
        (grpc.StatusCode.NOT_FOUND, ModelNotReady),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Busy),
        (grpc.StatusCode.INTERNAL, ModelFailed),
    ],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", "")),
)
def test_the_statuses_that_triton_uses_become_these_errors(status: grpc.StatusCode, kind: type[Exception]) -> None:
    assert type(translated(status, model="m", address="a")) is kind


def _response(shape: tuple[int, ...], content: bytes, datatype: str = "FP32") -> Any:
    response = service_pb2.ModelInferResponse(model_name="m")
    response.outputs.add(name="score", datatype=datatype, shape=shape)
    response.raw_output_contents.append(content)
    return response


def test_bytes_that_do_not_fill_the_shape_are_refused() -> None:
    with pytest.raises(BadModelOutput, match="4 bytes for FP32"):
        read_outputs("m", _response((1, 2), b"\0" * 4))


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(BadModelOutput):
        read_outputs("m", _response((1,), b"\0\0\0\0", "BYTES"))


def test_outputs_without_contents_are_refused() -> None:
    response = _response((1, 1), b"\0" * 4)
    del response.raw_output_contents[:]
    with pytest.raises(BadModelOutput):
        read_outputs("m", response)
