"""The page is written from the results and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench import report
from bench.recorded import Recorded, newest_ct, newest_spine, read, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_results_survive_the_file(results, ct_results, tmp_path):
    recorded = Recorded(results, ct_results)
    write(recorded, tmp_path / "new" / "run.json")
    assert read(tmp_path / "new" / "run.json") == recorded


def test_a_file_with_a_missing_number_is_refused(results, tmp_path):
    write(Recorded(results, None), tmp_path / "run.json")
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace('"threads":', '"thread":'))
    with pytest.raises(ValidationError):
        read(tmp_path / "run.json")


def test_the_page_shows_the_newest_recorded_run_and_no_other_number():
    text = report.of_folder(ROOT / "bench" / "results")
    assert report.with_results(PAGE, text) == PAGE, "run `.venv/bin/python -m bench report`"


def test_the_page_has_each_half_from_the_newest_file_that_has_it(results, ct_results, tmp_path):
    write(Recorded(results, ct_results), tmp_path / "2026-01-02-0300-cpu.json")
    write(Recorded(None, ct_results), tmp_path / "2026-01-10-0200-cpu.json")
    assert newest_spine(tmp_path) == (results, "2026-01-02-0300-cpu.json")
    assert newest_ct(tmp_path) == (ct_results, "2026-01-10-0200-cpu.json")
    text = report.of_folder(tmp_path)
    assert text.index("2026-01-02-0300-cpu.json") < text.index("## CT") < text.index("2026-01-10-0200-cpu.json")


def test_a_folder_without_results_says_so(tmp_path):
    assert newest_spine(tmp_path) is None
    assert report.of_folder(tmp_path / "nothing") == report.NOTHING_YET


def test_an_aim_that_was_missed_says_so(results):
    text = report.markdown(results, "run.json")
    assert "| (b) / (a), best throughput | 2.00 | 1 | yes |" in text
    assert "| (c) / (d) with 2 threads, throughput, normal film, JPEG 2000 | 6.00 | 8 | **no** |" in text


def test_what_was_never_promised_has_no_verdict(results):
    text = report.markdown(results, "run.json")
    assert "| (c) / (d) with 2 threads, throughput, normal film, uncompressed | 9.00 | - | - |" in text
    assert "| (d) / (c), time of one film when nobody else asks, normal film, JPEG 2000 | 4.00 |\n" in text


def test_each_load_generator_is_named(results):
    text = report.markdown(results, "run.json")
    assert "Load: perf_analyzer." in text
    assert text.count("Load: httpx; it takes 50.0 core ms a film.") == 5


def test_every_raw_setting_is_on_the_page(results):
    text = report.markdown(results, "run.json")
    for head, line in (
        ("2 threads a session, spinning, one caller", "| 8 | 9.00 |"),
        ("2 threads a session, not spinning, one caller", "| 8 | 9.50 |"),
        ("1 thread a session, not spinning, 2 callers at once, each with its own batches", "| 8 | 10.00 |"),
    ):
        assert line in text.split(f"### (a) ONNX Runtime alone: {head}\n")[1].split("###")[0]


def test_every_measured_line_is_on_the_page(results):
    text = report.markdown(results, "run.json")
    assert "| 16 | 20.00 | 800 | 1600 | 60 |" in text
    assert "| normal, JPEG 2000 | 140.0 | 10.0 | 150.0 |" in text
    assert "| abnormal, JPEG 2000: abnormal, 40 boxes | 2 | 2000 | 250 | 500 | 1000 | 250 | 9 |" in text
    assert "UNTRAINED" in text
    assert text.count("### (c)") == 5


def test_another_result_is_another_page(results):
    changed = replace(results, triton=replace(results.triton, rows=results.triton.rows[:1]))
    assert report.markdown(results, "run.json") != report.markdown(changed, "run.json")


def test_a_page_without_its_markers_is_an_error():
    with pytest.raises(ValueError, match="not enough values"):
        report.with_results("# Benchmarks", "text")
