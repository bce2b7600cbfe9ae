"""The committed self test is what its script makes, and its question tells elements and rows apart."""

from __future__ import annotations

import importlib.util

import numpy as np
import onnx
import onnxruntime
import pytest
from tritonclient.grpc import InferResult
from tritonclient.grpc.service_pb2 import ModelInferResponse

from radserve_triton import known_answer
from radserve_triton.errors import SelfTestFailed
from radserve_triton.known_answer import MODEL, expected_answer, question
from radserve_triton.resources import SELF_TEST


def test_the_committed_graph_is_what_the_script_makes():
    location = importlib.util.spec_from_file_location("make_model", SELF_TEST / "make_model.py")
    script = importlib.util.module_from_spec(location)
    location.loader.exec_module(script)

    assert onnx.load(script.PATH) == script.build()
    assert script.PATH.parts[-3:] == (MODEL, "1", "model.onnx")


def test_the_graph_computes_the_expected_answer():
    pixels, values = question()
    session = onnxruntime.InferenceSession(SELF_TEST / MODEL / "1" / "model.onnx", providers=["CPUExecutionProvider"])

    got = dict(
        zip(
            ("mixed", "reversed"), session.run(["mixed", "reversed"], {"pixels": pixels, "values": values}), strict=True
        )
    )

    for name, wanted in expected_answer(pixels, values).items():
        assert got[name].dtype == wanted.dtype
        assert np.array_equal(got[name], wanted)


def test_no_two_elements_of_question_and_answer_are_alike():
    pixels, values = question()

    for array in (pixels, values, *expected_answer(pixels, values).values()):
        assert array.shape == (3, 4)
        assert len(np.unique(array)) == array.size


def test_an_answer_without_bytes_is_a_damaged_one(monkeypatch):
    """What a stub built for another numpy answers: the right name and shape, and nothing in it."""
    response = ModelInferResponse(model_name=MODEL)
    for name, datatype in (("mixed", "FP32"), ("reversed", "UINT8")):
        response.outputs.add(name=name, datatype=datatype, shape=[3, 4])
        response.raw_output_contents.append(b"")
    monkeypatch.setattr(known_answer, "_infer", lambda *_: InferResult(response))

    with pytest.raises(SelfTestFailed, match="answered mixed = nothing readable"):
        known_answer.prove_known_answer("127.0.0.1:1")
