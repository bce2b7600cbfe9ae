"""The onnxruntime backend in tritonserver: exact tensors, batches that equal singles, errors that stay alone."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from radserve_triton.errors import StartFailed
from tests.conftest import StartTriton
from tests.triton_server.repositories import BACKWARDS, TABLE, WIDTH, lookup, write_model
from tests.triton_server.triton_client import Client


def numbers(dtype: type, batch: int) -> np.ndarray:
    """``(batch, WIDTH)`` of all sorts of bytes; no NaN, since NaN is equal to nothing."""
    raw = np.random.default_rng(batch).integers(0, 256, (batch, WIDTH, np.dtype(dtype).itemsize), np.uint8)
    if dtype is np.bool_:
        return raw[..., 0] > 127
    values = raw.view(dtype)[..., 0]
    return np.nan_to_num(values) if np.issubdtype(dtype, np.floating) else values


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("model", BACKWARDS)
def test_tensors_of_every_type_cross_exactly(tiny: Client, model: str, batch: int):
    x = numbers(BACKWARDS[model][2], batch)

    y = tiny.infer(model, x)["y"]

    assert y.dtype == x.dtype
    assert np.array_equal(y, x[:, ::-1])
    assert not np.array_equal(y, x), "a row that is its own mirror proves nothing"


def test_requests_that_arrive_together_run_once_and_answer_as_each_alone(tiny: Client):
    inputs = [np.array([[index % len(TABLE)]], np.int64) for index in (3, 0, 2, 1)]
    alone = [tiny.infer("lookup", x)["y"] for x in inputs]
    items, executions = tiny.counts("lookup")

    together = tiny.infer_together("lookup", inputs)

    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))
    assert tiny.counts("lookup") == (items + 4, executions + 1)


def test_requests_of_different_batch_sizes_get_their_own_rows_back(tiny: Client):
    inputs = [np.array(rows, np.int64)[:, None] for rows in ([0], [1, 2, 3], [3, 1])]

    together = tiny.infer_together("lookup", inputs)

    assert [y[:, 0].tolist() for y in together] == [[10], [20, 30, 40], [40, 20]]


def test_a_request_that_fails_does_not_take_its_neighbours_with_it(tiny: Client):
    _, executions = tiny.counts("lookup")
    inputs = [np.array([[index]], np.int64) for index in (0, 99, 2, 3)]

    first, bad, third, fourth = tiny.infer_together("lookup", inputs)

    assert tiny.counts("lookup")[1] == executions + 1, "they were not in one batch, so nothing was shown"
    assert [y.item() for y in (first, third, fourth)] == [10, 30, 40]
    assert "indices element out of data bounds" in bad


def test_both_versions_answer_when_the_policy_serves_both(tiny: Client):
    x = np.float32([[1, 2]])

    assert tiny.infer("add", x, version="1")["y"].tolist() == [[2, 3]]
    assert tiny.infer("add", x, version="2")["y"].tolist() == [[3, 4]]


def test_an_ensemble_hands_tensors_from_model_to_model(tiny: Client):
    assert tiny.infer("twice", np.float32([[1, 2, 3]]))["y"].tolist() == [[4, 5, 6]]


def test_requests_of_different_widths_are_answered_though_they_cannot_be_joined(tiny: Client):
    narrow, wide = tiny.infer_together("add", [np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32)])

    assert (narrow.shape, wide.shape) == ((1, 2), (1, 3))


def test_a_model_without_batching_gets_its_tensors_as_they_are(tiny: Client):
    assert tiny.infer("unbatched", np.float32([[0, 1], [2, 3], [4, 5]]))["y"].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_only_the_outputs_asked_for_are_answered(tiny: Client):
    assert tiny.infer("two_outputs", np.float32([[3]]), outputs=["z"]) == {"z": [[3.0]]}
    assert tiny.infer("two_outputs", np.float32([[3]]), outputs=["z", "y"]) == {"y": [[-3.0]], "z": [[3.0]]}


@pytest.mark.parametrize("priority", [1, 2, 3])
def test_a_priority_is_accepted_where_the_config_has_no_levels(tiny: Client, priority: int):
    assert tiny.infer("back_fp32", np.zeros((1, WIDTH), np.float32), priority=priority)["y"].shape == (1, WIDTH)


def test_statistics_count_each_execution_the_warm_up_included(tiny: Client):
    assert tiny.counts("warm") == (1 + 8, 2)

    tiny.infer("warm", np.zeros((3, 1), np.int64))

    assert tiny.counts("warm") == (1 + 8 + 3, 3)


def test_a_batch_over_the_maximum_is_refused_by_the_server(tiny: Client):
    with pytest.raises(InferenceServerException, match="batch-size must be <= 8"):
        tiny.infer("lookup", np.zeros((9, 1), np.int64))


def test_an_unknown_parameter_keeps_the_model_from_loading_and_is_named(start_triton: StartTriton, tmp_path):
    typo = 'parameters { key: "intra_op_thread_cuont" value { string_value: "1" } }'
    write_model(tmp_path, "typo", lookup(), x=("INT64", [1]), y=("FP32", [1]), extra=typo)

    with pytest.raises(StartFailed, match="model typo: unknown parameter 'intra_op_thread_cuont'"):
        start_triton(tmp_path)
