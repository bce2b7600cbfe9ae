"""Joining and splitting requests: nobody gets another's rows, or another's error."""

from __future__ import annotations

import numpy as np
import pytest
from batching import BadAnswer, Tensors, answer_all, group_alike
from hypothesis import given
from hypothesis import strategies as st


class Doubler:
    """y = 2 x; refuses negative numbers; remembers the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, tensors: Tensors) -> Tensors:
        self.batches.append(len(tensors["x"]))
        if (tensors["x"] < 0).any():
            raise ValueError("negative")
        return {"y": tensors["x"] * 2}


def request(*rows: float, width: int = 1) -> dict[str, np.ndarray]:
    return {"x": np.repeat(np.float32(rows)[:, None], width, axis=1)}


@given(st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=4), min_size=1, max_size=8))
def test_each_request_gets_what_it_would_get_alone(rows: list[list[int]]):
    run = Doubler()

    answers = answer_all([request(*item) for item in rows], run, batched=True)

    assert [answer["y"][:, 0].tolist() for answer in answers] == [[2 * x for x in item] for item in rows]
    assert run.batches == [sum(map(len, rows))]


def test_a_failing_request_is_the_only_one_to_fail():
    run = Doubler()

    first, bad, last = answer_all([request(1), request(-1), request(3)], run, batched=True)

    assert (first["y"].item(), last["y"].item()) == (2, 6)
    assert isinstance(bad, ValueError)
    assert run.batches == [3, 1, 1, 1]


def test_requests_that_differ_in_shape_type_or_names_are_not_joined():
    optional = {**request(1), "mask": np.zeros((1, 1), np.float32)}
    wide, exact = request(1, width=2), {"x": np.ones((1, 1))}

    assert group_alike([request(1), wide, exact, optional, request(5, 6)]) == [[0, 4], [1], [2], [3]]


def test_without_batching_every_request_runs_by_itself():
    run = Doubler()

    answer_all([request(1), request(2)], run, batched=False)

    assert run.batches == [1, 1]


@pytest.mark.parametrize("rows", [1, 3])
def test_an_answer_with_another_number_of_rows_is_never_dealt_out(rows: int):
    def run(tensors: Tensors) -> Tensors:
        return {"y": np.zeros((rows, 1))} if len(tensors["x"]) > 1 else {"y": tensors["x"]}

    answers = answer_all([request(1), request(2)], run, batched=True)

    assert [answer["y"].item() for answer in answers] == [1, 2], "each was asked for again by itself"


def test_a_single_request_whose_graph_answers_the_wrong_rows_fails():
    (answer,) = answer_all([request(1)], lambda _: {"y": np.zeros((2, 1))}, batched=True)

    assert isinstance(answer, BadAnswer)
