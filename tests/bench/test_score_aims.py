"""What the score results mean: each aim and each line of the page worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import report
from bench.ct.aims import Aim
from bench.recorded import Recorded, newest_score, read, write
from bench.results import CoreTime, Load, Machine, Model, Storage, TritonRun
from bench.score.aims import aims
from bench.score.results import ArchiveMemory, Resume, ScoreLoad, ScoreResults

MIB = 2**20


def executions(films: int) -> dict[str, int]:
    return dict.fromkeys(("a", "b", "c"), films)


@pytest.fixture
def score_results() -> ScoreResults:
    """2 cores; perf_analyzer at best 20 films/s, which is 0.1 core seconds a film.

    JPEG 2000: 0.4 core seconds of the scorer's own, 0.3 of them decoding: 4 films/s are left, 12 executions; 5 films/s
    after decoding alone. Uncompressed: 0.1, 0.06 of them decoding: 10 films/s, and 12.5.
    """
    j2k, plain = Storage
    cores = {"command": 0.5, "workers": 38.0, "service": 0.5, "Triton": 11.0}
    return ScoreResults(
        started="2026-01-02T05:06:07+00:00",
        seconds_per_point=10.0,
        machine=Machine("A CPU", 2, ("avx2",), 16, "Linux", "3.11.7", 0.1, {"torch": "2.0"}),
        models=(Model("a", "ab" * 32, False, "1"),),
        triton=TritonRun(
            "ensemble", "perf_analyzer", (Load(1, 10.0, 90.0, 99.0, 100), Load(8, 20.0, 390.0, 400.0, 200))
        ),
        core_time=(CoreTime("normal", j2k, 0.3, 0.1), CoreTime("normal", plain, 0.06, 0.04)),
        loads=(
            ScoreLoad("triton", j2k, 30.0, executions(117), executions(78), 118, cores),
            ScoreLoad("service", j2k, 30.0, executions(108), executions(108), 107, cores),
            ScoreLoad("triton", plain, 30.0, executions(300), executions(100), 300, cores),
        ),
        memory=(
            ArchiveMemory("triton", 200, 8.0, 200 * MIB, 200 * MIB),
            ArchiveMemory("service", 200, 4.0, 200 * MIB, 0),
            ArchiveMemory("triton", 5000, 40.0, 210 * MIB, 220 * MIB),
            ArchiveMemory("service", 5000, 30.0, 230 * MIB, 0),
        ),
        resume=(Resume("triton", 100_000, 8.5, 1.5, 2.5), Resume("service", 100_000, 10.5, 1.25, 2.5)),
    )


def found(results: ScoreResults, words: str) -> Aim:
    """The one aim whose text has ``words``."""
    (aim,) = (aim for aim in aims(results) if words in aim.what)
    return aim


def test_what_is_reached_is_held_against_what_decoding_and_preprocessing_leave(score_results):
    by_triton = found(score_results, "(j) `--via triton`, JPEG 2000 / what perf_analyzer leaves after decode and")
    by_service = found(score_results, "(j) `--via service`, JPEG 2000 / what perf_analyzer leaves after decode and")
    assert (by_triton.measured, by_triton.wanted, by_triton.reached) == (pytest.approx(11.7 / 12), 0.95, True)
    assert (by_service.measured, by_service.reached) == (pytest.approx(10.8 / 12), False)


def test_each_storage_is_held_against_its_own_core_time(score_results):
    aim = found(score_results, "uncompressed / what perf_analyzer leaves after decode and preprocessing")
    assert aim.measured == pytest.approx(30 / 30)


def test_decoding_alone_leaves_more_and_is_no_promise(score_results):
    aim = found(score_results, "(j) `--via triton`, JPEG 2000 / what perf_analyzer leaves after decoding alone")
    assert (aim.measured, aim.wanted) == (pytest.approx(11.7 / 15), None)


def test_memory_is_that_of_all_processes_and_may_not_grow_with_the_archive(score_results):
    by_triton, by_service = found(score_results, "(k) `--via triton`"), found(score_results, "(k) `--via service`")
    assert (by_triton.measured, by_triton.wanted, by_triton.reached) == (pytest.approx(430 / 400), 1.1, True)
    assert (by_service.measured, by_service.reached) == (pytest.approx(1.15), False)


def test_a_finished_run_has_ten_seconds_to_find_nothing_to_do(score_results):
    by_triton, by_service = found(score_results, "(l) `--via triton`"), found(score_results, "(l) `--via service`")
    assert (by_triton.measured, by_triton.wanted, by_triton.reached) == (8.5, 10.0, True)
    assert not by_service.reached


def test_the_page_says_which_aims_were_missed(score_results):
    text = report.score_markdown(score_results, "run.json")
    for line in (
        "JPEG 2000 / what perf_analyzer leaves after decode and preprocessing, executions per second | 0.90 |"
        " at least 0.95 | **no** |",
        "| (k) `--via triton`, peak memory with 5000 items / with 200 | 1.07 | at most 1.1 | yes |",
        "a finished run of 100000 rows, started again, until it has nothing to do | 10.50 s | at most 10 s | **no** |",
    ):
        assert line in text


def test_the_page_has_every_measured_line(score_results):
    text = report.score_markdown(score_results, "run.json")
    for line in (
        "perf_analyzer at its best: 20.00 films/s through `ensemble`, 60.0 executions/s",
        "| `--via triton`, JPEG 2000 | 11.70 | 12.00 | 3.90 | 3.93 | 1.50 | 30.0 |",
        "| `--via triton`, uncompressed | 30.00 | 30.00 | 10.00 | 10.00 | 3.00 | 30.0 |",
        # 60 core seconds of which 50 were used, over 300 films
        "| `--via triton`, uncompressed | 2 | 127 | 2 | 37 | 33 | 60 | 40 |",
        "A film costs 100 core ms under perf_analyzer at its best",
        "| `--via triton`, 5000 items | 210 | 220 | 430 | 40.0 |",
        "| `--via triton`, 100000 rows | 8.5 | 1.5 | 7.0 | 2.5 |",
        "| a | UNTRAINED | 1 | `abababababababab` |",
    ):
        assert line in text


def test_score_results_survive_the_file_and_the_newest_are_on_the_page(score_results, tmp_path):
    newer = replace(score_results, started="2026-01-09T00:00:00+00:00")
    write(Recorded(None, None, score_results), tmp_path / "2026-01-02-0300-cpu.json")
    write(Recorded(None, None, newer), tmp_path / "2026-01-09-0200-cpu.json")
    write(Recorded(None, None), tmp_path / "2026-01-10-0200-cpu.json")
    assert read(tmp_path / "2026-01-02-0300-cpu.json").score == score_results
    assert newest_score(tmp_path) == (newer, "2026-01-09-0200-cpu.json")
    assert report.of_folder(tmp_path) == report.score_markdown(newer, "2026-01-09-0200-cpu.json")


def test_a_file_from_before_the_score_part_is_read(score_results, tmp_path):
    path = tmp_path / "run.json"
    path.write_text('{"spine": null, "ct": null}')
    assert read(path) == Recorded(None, None, None)
