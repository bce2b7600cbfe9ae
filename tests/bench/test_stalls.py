"""The measurement of stalls: every request is timed."""

from __future__ import annotations

from bench.stalls import durations_s
from tests.conftest import StartTriton
from tests.triton_server.repositories import WIDTH, backwards, write_model


def test_each_request_of_one_caller_is_timed(start_triton: StartTriton, tmp_path):
    write_model(tmp_path, "back", backwards(1), x=("FP32", [WIDTH]), y=("FP32", [WIDTH]))
    server = start_triton(tmp_path, verify=False)

    took_s = durations_s(server.grpc_address, "back", 5)

    assert took_s.shape == (5,)
    assert (took_s > 0).all()
