"""The parts of the CT benchmarks that a small phantom can check: same tensors, batch counts, memory, rates."""

from __future__ import annotations

import zipfile
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from tritonclient.grpc import service_pb2

from bench.ct import memory, networks, preprocessing, service_memory, volume
from bench.ct.chains import SERVICE, WAYS
from bench.ct.phantoms import DRAWN, series, written, zipped
from bench.results import Load, RawRun, Storage
from radserve_devstack.phantoms.ct import PhantomKind

# Written by perf_analyzer 2.50.0 with --verbose-csv for batches of 4; single lines shortened to what is read
HEAD = "Concurrency,Inferences/Second,Client Send,p50 latency,p95 latency,Avg latency,request/response"
REPORT = f"{HEAD}\n{{callers}},36,1,98000,120000,100000,99000\n"


def test_a_phantom_is_repeated_at_new_places():
    files = [pydicom.dcmread(BytesIO(each)) for each in series(PhantomKind.HEAD, slices=2 * DRAWN, size=16)]
    heights = [float(ds.ImagePositionPatient[2]) for ds in files]
    assert files[0].PixelData == files[DRAWN].PixelData != files[1].PixelData
    assert len(set(heights)) == len(files)
    assert np.ptp(heights) == pytest.approx(160.0, rel=0.05)


@pytest.mark.parametrize("storage", Storage)
@pytest.mark.parametrize(("pipeline", "slices"), [("abdominal_trauma", 24), ("head_ct", 48)])
def test_every_way_makes_the_tensor_of_the_service(pipeline, slices, storage, tmp_path):
    place = written(series(preprocessing.KINDS[pipeline], slices=slices, size=64, storage=storage), tmp_path / "series")
    made = {name: way(place)[0] for name, way in WAYS[pipeline].items()}
    assert made[SERVICE].any()
    for name, tensor in made.items():
        preprocessing.difference(pipeline, name, made[SERVICE], tensor)


def test_ways_that_make_different_tensors_are_not_compared():
    ours = np.zeros((1, 28), np.uint8)
    with pytest.raises(RuntimeError, match="differs from the service by 2"):
        preprocessing.difference("head_ct", "another", ours, ours + 2)
    with pytest.raises(RuntimeError, match="makes"):
        preprocessing.difference("head_ct", "another", ours, ours.astype(np.float32))


@pytest.mark.parametrize("spec", networks.PIPELINES, ids=lambda spec: spec.name)
def test_the_items_of_a_network_are_what_it_takes(spec):
    tensor = networks.network_of(spec).inputs[0]
    made = networks.items(spec)
    assert made.shape[1:] == tensor.dims
    assert made.dtype == tensor.dtype.numpy
    assert made.std() > 0


def test_one_callers_rate_is_that_of_its_mean_latency():
    line = networks.parse_line(REPORT.format(callers=1), 4, window_s=10.0)
    assert line == Load(4, pytest.approx(40.0), 98.0, 120.0, 360)


def test_the_rate_of_several_callers_is_what_was_answered():
    assert networks.parse_line(REPORT.format(callers=2), 4, window_s=10.0).films_per_s == 36.0


def test_two_callers_are_measured_where_a_batch_is_short():
    def raw(batch_ms: float) -> tuple[RawRun, ...]:
        return (RawRun(2, True, 1, (Load(1, 1.0, 10.0, 10.0, 9), Load(4, 1.0, batch_ms, batch_ms, 9))),)

    assert list(networks.loads(raw(999.0))) == [(1, 1), (1, 2), (4, 1), (4, 2)]
    assert list(networks.loads(raw(1001.0))) == [(1, 1), (1, 2), (4, 1)]


def test_batches_are_those_of_the_volume_alone():
    statistics = service_pb2.ModelStatisticsResponse()
    model = statistics.model_stats.add(name="covid_lung")
    for size, count in ((8, 9), (1, 2), (4, 1)):
        model.batch_stats.add(batch_size=size).compute_infer.count = count
    assert volume.counts(statistics) == {8: 9, 1: 2, 4: 1}
    assert list(volume.since({1: 2, 8: 2}, volume.counts(statistics)).items()) == [(4, 1), (8, 7)]


@pytest.mark.parametrize(("method", "smaller"), [(zipfile.ZIP_STORED, False), (zipfile.ZIP_DEFLATED, True)])
def test_a_zip_holds_the_files_as_it_is_told(method, smaller):
    files = series(PhantomKind.HEAD, slices=3, size=64)
    archive = zipped(files, method)
    assert (len(archive) < sum(map(len, files))) is smaller
    with zipfile.ZipFile(BytesIO(archive)) as entries:
        assert [entries.read(name) for name in entries.namelist()] == files


def test_memory_is_measured_of_every_way_to_send_a_study(tmp_path):
    peaks = list(memory.measure(slices=16, size=64, folder=tmp_path))
    assert [peak.study for peak in peaks] == ["separate files", "stored zip", "deflated zip"]
    for peak in peaks:
        assert peak.volume_bytes == 16 * 64 * 64 * 2
        assert peak.peak_bytes >= peak.before_bytes + peak.size_bytes


def test_memory_that_was_needed_and_freed_counts():
    before = memory.status_bytes("VmHWM")
    np.ones(before // 8, np.float64)
    assert memory.status_bytes("VmHWM") > 1.5 * before


def test_the_peak_is_not_what_is_left_after_decoding(monkeypatch, tmp_path):
    def decode_with_a_large_scratch(*_):
        np.ones(200 * 2**20, np.uint8)
        return SimpleNamespace(pixels=np.zeros(8, np.uint8))

    monkeypatch.setattr(memory, "decode", decode_with_a_large_scratch)
    (tmp_path / "study.zip").write_bytes(b"a study")
    peak = memory.peak_of("a study", tmp_path / "study.zip", volume_bytes=8)
    assert peak.peak_bytes > peak.before_bytes + 190 * 2**20


def test_resident_memory_is_read_from_the_services_metrics():
    page = "# HELP process_resident_memory_bytes Resident\nprocess_resident_memory_bytes 1.048576e+06\nother 2\n"
    assert service_memory.resident_bytes(page) == 2**20
    with pytest.raises(ValueError, match="0 lines"):
        service_memory.resident_bytes("other 2\n")
