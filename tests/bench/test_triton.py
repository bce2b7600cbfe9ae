"""What perf_analyzer is given and what its report means."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from bench.perf_analyzer import PerfAnalyzer, unpacked
from bench.triton import input_data, parse_report

# Written by perf_analyzer 2.50.0 for an ensemble, concurrency 2, windows of 1 s
REPORT = """\
Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,\
Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency
2,2144.45,1,560,0,18,260,84,0,577,1706,3215,5684
"""


def test_its_report_is_read_in_films_and_milliseconds():
    (row,) = parse_report(REPORT.splitlines(), window_s=2.0)
    assert (row.level, row.films_per_s, row.p50_ms, row.p95_ms, row.films) == (2, 2144.45, 0.577, 3.215, 4289)


def test_what_it_appends_for_composing_models_is_left_out():
    appended = "\nComposing Models\nmember, version:\n" + REPORT
    assert parse_report((REPORT + appended).splitlines(), window_s=1.0) == parse_report(
        REPORT.splitlines(), window_s=1.0
    )


@pytest.mark.parametrize("text", ["", REPORT.splitlines()[0]])
def test_an_empty_report_is_an_error(text):
    with pytest.raises(ValueError, match="reported nothing"):
        parse_report(text.splitlines(), window_s=1.0)


def test_its_input_holds_the_bytes_of_every_film():
    films = [np.arange(4, dtype=np.uint8).reshape(1, 2, 2), np.full((1, 2, 2), 7, np.uint8)]
    first, second = input_data({"image": films})["data"]
    assert base64.b64decode(first["image"]["b64"]) == bytes([0, 1, 2, 3])
    assert base64.b64decode(second["image"]["b64"]) == bytes([7] * 4)
    assert first["image"]["shape"] == [1, 2, 2]


def test_a_failed_run_tells_what_it_printed(tmp_path):
    program = tmp_path / "perf_analyzer"
    program.write_text("#!/bin/sh\necho cannot connect; exit 99\n")
    program.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"99:\ncannot connect"):
        PerfAnalyzer(program, tmp_path).run(["-m", "spine"])


def test_what_is_missing_is_named_with_the_command_that_brings_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"perf_analyzer is missing; `make bench`"):
        unpacked(tmp_path, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "perf_analyzer").touch()
    with pytest.raises(FileNotFoundError, match=r"libb64.* is missing; `make install`"):
        unpacked(tmp_path, tmp_path)


def test_the_libraries_get_the_names_it_asks_for(tmp_path):
    libraries = tmp_path / "venv" / "lib" / "python3.11" / "site-packages" / "nvidia_pytriton.libs"
    libraries.mkdir(parents=True)
    for name in ("libb64-98cb6333.so.0d", "libcudart-09529672.so.12.6.77"):
        (libraries / name).write_text(name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "perf_analyzer").touch()
    for _ in range(2):  # again over what is there already
        analyzer = unpacked(tmp_path, tmp_path / "venv")
    assert (analyzer.libraries / "libb64.so.0d").read_text() == "libb64-98cb6333.so.0d"
    assert (analyzer.libraries / "libcudart.so.12").read_text() == "libcudart-09529672.so.12.6.77"
