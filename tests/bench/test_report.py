"""The page is written from the results and from nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from bench import report
from bench.results import read, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_results_survive_the_file(results, tmp_path):
    write(results, tmp_path / "new" / "run.json")
    assert read(tmp_path / "new" / "run.json") == results


def test_a_file_with_a_missing_number_is_refused(results, tmp_path):
    write(results, tmp_path / "run.json")
    (tmp_path / "run.json").write_text((tmp_path / "run.json").read_text().replace('"threads":', '"thread":'))
    with pytest.raises(ValidationError):
        read(tmp_path / "run.json")


def test_the_page_shows_the_newest_recorded_run_and_no_other_number():
    source = report.newest(ROOT / "bench" / "results")
    text = report.markdown(read(source), source.name) if source else report.NOTHING_YET
    assert report.with_results(PAGE, text) == PAGE, "run `.venv/bin/python -m bench report`"


def test_an_aim_that_was_missed_says_so(results):
    text = report.markdown(results, "run.json")
    assert "| (b) / (a), best throughput | 2.00 | 1 | yes |" in text
    assert "| (c) / (d) with 2 threads, throughput, normal film | 6.00 | 8 | **no** |" in text


def test_every_measured_line_is_on_the_page(results):
    text = report.markdown(results, "run.json")
    assert "| 16 | 20.00 | 800 | 1600 | 60 |" in text
    assert "| normal | 140.0 | 10.0 | 150.0 |" in text
    assert "| abnormal: abnormal, 40 boxes | 2 | 2000 | 250 | 500 | 1000 | 250 | 9 |" in text
    assert "UNTRAINED" in text
    assert text.count("### (c)") == 3


def test_another_result_is_another_page(results):
    changed = replace(results, triton=replace(results.triton, rows=results.triton.rows[:1]))
    assert report.markdown(results, "run.json") != report.markdown(changed, "run.json")


def test_the_newest_file_is_the_last_by_date(tmp_path):
    for name in ("2026-01-02-0300-cpu.json", "2026-01-10-0200-cpu.json", "2025-12-31-2300-cpu.json"):
        (tmp_path / name).touch()
    assert report.newest(tmp_path).name == "2026-01-10-0200-cpu.json"
    assert report.newest(tmp_path / "nothing") is None


def test_a_page_without_its_markers_is_an_error():
    with pytest.raises(ValueError, match="not enough values"):
        report.with_results("# Benchmarks", "text")
