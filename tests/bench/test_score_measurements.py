"""The parts of the score benchmarks that need no Triton: archives, light networks, counters, processes, resume."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest

from bench.films import PROFILE, Upload
from bench.plan import Plan
from bench.repository import networks
from bench.results import Storage
from bench.score import memory, resume, throughput
from bench.score.archive import archive, small
from bench.score.command import OK, scoring
from bench.score.light import GRAPH, light_graph, light_repository
from bench.score.processes import below, core_s, named, peak_bytes
from bench.score.run import measured
from bench.score.statistics import Counters, Statistics, parsed, since
from radserve_contract.spec import ModelKind
from radserve_export.publish import manifest_of
from radserve_triton.repository import verify_manifest
from tests.client.score.fake_archive import archive_service
from tests.dicom_files import make_radiograph

ROOT = Path(__file__).resolve().parents[2]
MODEL = "spine_resnet50"


def test_an_archive_is_one_file_under_many_names(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.score.archive.IN_A_FOLDER", 4)
    monkeypatch.setattr("bench.score.archive.LINKS", 8)
    files = sorted(archive(tmp_path / "archive", b"film", 18).rglob("*.dcm"))
    assert len(files) == 18
    assert {len(list(folder.iterdir())) for folder in (tmp_path / "archive").iterdir()} == {4, 2}
    assert [files[number].stat().st_nlink for number in (0, 7, 8, 16)] == [8, 8, 8, 2]
    assert {file.read_bytes() for file in files} == {b"film"}


def test_a_small_film_is_the_same_film_with_fewer_pixels():
    pixels = np.arange(40 * 30, dtype=np.uint16).reshape(40, 30)
    ds = pydicom.dcmread(BytesIO(small(Upload("normal", Storage.UNCOMPRESSED, make_radiograph(pixels)))))
    assert np.array_equal(ds.pixel_array, pixels[::10, ::10])


@pytest.mark.parametrize("spec", [spec for spec in PROFILE.models if spec.kind is ModelKind.NETWORK])
def test_a_light_network_answers_with_the_tensors_of_the_real_one(spec):
    session = onnxruntime.InferenceSession(light_graph(spec).SerializeToString(), providers=["CPUExecutionProvider"])
    (image,) = spec.inputs
    answers = session.run(None, {image.name: np.zeros((3, *image.dims), np.uint8)})
    assert [each.name for each in session.get_outputs()] == [each.name for each in spec.outputs]
    for answer, tensor in zip(answers, spec.outputs, strict=True):
        assert answer.shape == (3, *tensor.dims)
        assert np.all(answer == (0 if tensor.dtype.numpy == np.int32 else 0.25))


def published(folder: Path) -> Path:
    """What publishing leaves of the profile, with graphs of a few bytes."""
    for spec in PROFILE.models:
        shutil.copytree(ROOT / "model_repository" / spec.name, folder / spec.name)
        (folder / spec.name / "1").mkdir(exist_ok=True)
        if spec.kind is not ModelKind.ENSEMBLE:
            (folder / spec.name / GRAPH).write_bytes(spec.name.encode())
            with (folder / spec.name / "config.pbtxt").open("a") as config:
                for name, value in (("digest", spec.name.encode().hex()), ("trained", "true")):
                    config.write(f'parameters {{ key: "radserve_{name}_1" value {{ string_value: "{value}" }} }}\n')
    (folder / "manifest.json").write_text(json.dumps({"trained": True, "files": manifest_of(folder)}))
    return folder


def test_a_light_repository_is_whole_with_other_digests(tmp_path):
    repository = published(tmp_path / "repository")
    light = light_repository(repository, tmp_path / "light", PROFILE)
    verify_manifest(light)
    before, after = networks(repository, PROFILE), networks(light, PROFILE)
    assert [network.name for network in before] == [network.name for network in after]
    assert not {network.digest for network in before} & {network.digest for network in after}
    assert (light / "spine_fusion" / GRAPH).read_bytes() == (repository / "spine_fusion" / GRAPH).read_bytes()


def page(films: int, runs: int) -> str:
    """As Triton's metrics port answers."""
    return (
        "# HELP nv_inference_count Number of inferences performed\n"
        f'nv_inference_count{{model="{MODEL}",version="1"}} {films}\n'
        'nv_inference_count{model="another",version="1"} 99\n'
        f'nv_inference_exec_count{{model="{MODEL}",version="1"}} {runs}\n'
    )


def test_counters_are_those_of_the_networks_that_were_asked_for():
    counters = parsed(page(40, 10), [MODEL], at=1.0)
    assert counters == Counters(1.0, {MODEL: 40}, {MODEL: 10})
    assert since(counters.executions, parsed(page(55, 12), [MODEL], at=2.0).executions) == {MODEL: 15}


def test_a_network_that_is_not_counted_is_an_error():
    with pytest.raises(ValueError, match="no nv_inference_count of spine_yolo11"):
        parsed(page(1, 1), [MODEL, "spine_yolo11"], at=1.0)


@contextmanager
def metrics(pages: list[str]) -> Iterator[str]:
    """A page after the other, the last again and again; where they are."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (pages.pop(0) if len(pages) > 1 else pages[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/metrics"
        finally:
            server.shutdown()
            thread.join()


def test_a_window_begins_when_a_film_is_done():
    with metrics([page(5, 5), page(5, 5), page(5, 5), page(6, 6), page(7, 7)]) as url, Statistics(url, [MODEL]) as it:
        assert it.at_change(60).executions == {MODEL: 6}


def test_a_triton_that_nobody_asks_makes_no_window():
    with (
        metrics([page(5, 5)]) as url,
        Statistics(url, [MODEL]) as it,
        pytest.raises(TimeoutError, match=r"no network was asked for 0\.1 s"),
    ):
        it.at_change(0.1)


def test_a_process_is_found_below_its_parent_with_its_time_and_memory():
    words = "sum(i * i for i in range(10**6)); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        child.stdout.readline()
        try:
            assert child.pid in named(below(os.getpid()), words[:20])
            assert core_s([child.pid]) > 0
            assert peak_bytes(child.pid) > 2**20
        finally:
            child.communicate("\n")
    assert (core_s([child.pid]), peak_bytes(child.pid)) == (0, 0)


def test_rows_of_the_window_are_counted(tmp_path):
    written(tmp_path, ["ok", "ok", "ok", "ok"], [9.0, 10.5, 20.0, 20.5])
    assert throughput._rows(tmp_path, Counters(10.0, {}, {}), Counters(20.0, {}, {})) == 2


def test_a_film_that_failed_is_no_measurement(tmp_path):
    written(tmp_path, ["ok", "failed"], [11.0, 12.0])
    with pytest.raises(RuntimeError, match="1 of 2 films failed"):
        throughput._rows(tmp_path, Counters(10.0, {}, {}), Counters(20.0, {}, {}))


def written(out: Path, status: list[str], seconds: list[float]) -> None:
    """A dataset with those two columns."""
    (out / "results").mkdir()
    moments = pa.array([datetime.fromtimestamp(each, UTC) for each in seconds], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"status": status, "scored_at": moments}), out / "results" / "part-000001.parquet")


def at(url: str) -> SimpleNamespace:
    """A stack of which only the service is asked."""
    return SimpleNamespace(service_url=url, triton_address="127.0.0.1:1")


def test_a_finished_run_is_written_and_found_finished(tmp_path):
    source, out = archive(tmp_path / "archive", b"a film", 30), tmp_path / "out"
    with archive_service() as (service, fake):
        assert resume.finish(source, fake.url, out) == 30
        assert len(service.scored) == 1
        run = resume.measure(source, "service", at(fake.url), out, items=30, listing=resume.listing_s(source))
        assert len(service.scored) == 1
    assert 0 < run.begun_s < run.seconds
    assert run.listing_s > 0


def test_a_run_that_has_something_left_to_do_was_not_finished(tmp_path):
    source, out = archive(tmp_path / "archive", b"a film", 3), tmp_path / "out"
    with archive_service() as (_, fake):
        resume.finish(source, fake.url, out)
        (source / "0000" / "other.dcm").write_bytes(b"another film")
        with pytest.raises(RuntimeError, match="of 4 items it skipped 3, and scored 1"):
            resume.measure(source, "service", at(fake.url), out, items=4, listing=0.0)


def test_the_memory_of_a_run_is_what_its_process_says_at_the_end(tmp_path):
    source = archive(tmp_path / "archive", b"a film", 3)
    with archive_service() as (_, fake):
        found = memory.measure(source, "service", at(fake.url), tmp_path / "out", items=3)
        assert found.command_bytes > 20 * 2**20
        assert (found.items, found.workers_bytes) == (3, 0)
        with pytest.raises(RuntimeError, match="0 of 3 items were scored"):
            memory.measure(source, "service", at(fake.url), tmp_path / "out", items=3)


def test_a_command_that_fails_says_why(tmp_path):
    with scoring(tmp_path, tmp_path / "out", ("--via", "nowhere")) as command:
        with pytest.raises(RuntimeError, match=r"(?s)ended with 2, not 0:.*nowhere"):
            command.ended(OK)
        with pytest.raises(RuntimeError, match="ended with 2"):
            command.check_alive()


def test_a_missing_load_generator_is_missed_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.score.run.machine", lambda venv: None)
    said: list[str] = []
    plan = Plan(tmp_path, None, 1.0, (1,), tmp_path / "perf_analyzer", tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match="perf_analyzer"):
        measured(plan, tmp_path, said.append)
    assert said == []
