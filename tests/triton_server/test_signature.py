"""A config and a graph that disagree must not load: Triton would let through what the graph cannot take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from session_plan import ConfigError
from signature import check_signature


@dataclass
class Node:
    name: str
    type: str
    shape: Sequence[int | str | None]


IMAGE = Node("image", "tensor(uint8)", ["batch", 1, 4, 4])
SCORE = Node("score", "tensor(float)", ["batch", 1])


def tensor(name: str, data_type: str, *dims: int) -> dict[str, Any]:
    return {"name": name, "data_type": data_type, "dims": [str(size) for size in dims]}


CONFIG = {
    "max_batch_size": 8,
    "input": [tensor("image", "TYPE_UINT8", 1, 4, 4)],
    "output": [tensor("score", "TYPE_FP32", 1)],
}


def test_a_graph_that_agrees_with_its_config_passes():
    check_signature(CONFIG, [IMAGE], [SCORE])


def test_an_output_may_be_left_out_of_the_config():
    check_signature(CONFIG, [IMAGE], [SCORE, Node("logit", "tensor(float)", ["batch", 1])])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"input": [tensor("picture", "TYPE_UINT8", 1, 4, 4)]}, "lacks the graph's inputs image"),
        ({"input": [*CONFIG["input"], tensor("more", "TYPE_UINT8", 1)]}, "input 'more' of config.pbtxt is not in"),
        ({"output": [tensor("scores", "TYPE_FP32", 1)]}, "output 'scores' of config.pbtxt is not in the graph"),
        ({"input": [tensor("image", "TYPE_FP32", 1, 4, 4)]}, r"is TYPE_FP32 in config.pbtxt but tensor\(uint8\)"),
        ({"input": [tensor("image", "TYPE_STRING", 1)]}, "TYPE_STRING, which"),
        ({"input": [tensor("image", "TYPE_UINT8", 1, 4, 5)]}, r"has dims \[1, 4, 5\]"),
        ({"input": [tensor("image", "TYPE_UINT8", 4, 4)]}, r"has dims \[4, 4\]"),
        ({"input": [tensor("image", "TYPE_UINT8", 1, 4, -1)]}, r"has dims \[1, 4, -1\]"),
        ({"max_batch_size": 0}, r"batched: False"),
    ],
)
def test_a_disagreement_is_refused_by_the_tensors_name(change: dict[str, Any], words: str):
    with pytest.raises(ConfigError, match=words):
        check_signature(CONFIG | change, [IMAGE], [SCORE])


def test_a_graph_frozen_at_one_batch_size_is_refused():
    with pytest.raises(ConfigError, match=r"but \[1, 1, 4, 4\] in the graph"):
        check_signature(CONFIG, [Node("image", "tensor(uint8)", [1, 1, 4, 4])], [SCORE])
