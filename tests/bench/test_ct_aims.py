"""What the CT results mean: each aim worked out by hand from ``ct_results``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import report
from bench.ct.aims import Aim, aims


def found(results, words: str) -> Aim:
    """The one aim whose text has ``words``."""
    (aim,) = (aim for aim in aims(results) if words in aim.what)
    return aim


def test_a_series_is_held_against_each_chain(ct_results):
    pydicom, simpleitk = found(ct_results, "pydicom + MONAI"), found(ct_results, "SimpleITK + MONAI")
    assert (pydicom.measured, pydicom.wanted, pydicom.reached) == (4.0, 3.0, True)
    assert (simpleitk.measured, simpleitk.wanted, simpleitk.reached) == (2.0, 3.0, False)


def test_a_long_network_is_held_to_its_throughput(ct_results):
    ratio, added = found(ct_results, "abdominal_trauma, Triton / bare"), found(ct_results, "abdominal_trauma, what")
    assert (ratio.measured, ratio.wanted, ratio.reached) == (0.9, 0.95, False)
    assert (added.measured, added.wanted) == (100.0, None)


def test_a_light_network_is_held_to_what_a_request_costs_more(ct_results):
    ratio, added = found(ct_results, "hemorrhage, Triton / bare"), found(ct_results, "hemorrhage, what")
    assert (ratio.measured, ratio.wanted) == (0.8, None)
    assert (added.measured, added.wanted, added.reached) == (1.5, 2.0, True)
    assert not replace(added, measured=2.5).reached


def test_a_volume_states_the_batches_of_its_slices(ct_results):
    assert found(ct_results, "(g)").measured == 60 / 8


def test_memory_is_held_against_the_volume(ct_results):
    assert (found(ct_results, "separate files").measured, found(ct_results, "separate files").reached) == (2.4, True)
    assert (found(ct_results, "stored zip").measured, found(ct_results, "stored zip").reached) == (3.2, False)


@pytest.mark.parametrize(("last", "reached"), [(105_000_000, True), (106_000_000, False)])
def test_the_service_is_flat_when_its_memory_stays_that_of_the_warm_service(ct_results, last, reached):
    resident = (*ct_results.service_memory.resident[:-1], (500, last))
    memory = replace(ct_results.service_memory, resident=resident)
    assert found(replace(ct_results, service_memory=memory), "(i)").reached is reached


def test_the_page_says_which_aims_were_missed(ct_results):
    text = report.ct_markdown(ct_results, "run.json")
    assert "| (h) peak memory / (rows x columns x slices x 2 bytes), stored zip | 3.20 | at most 2.5 | **no** |" in text
    assert "| (f) hemorrhage, what Triton adds to a single request | 1.50 ms | at most 2 ms | yes |" in text


def test_the_page_has_every_measured_line(ct_results):
    text = report.ct_markdown(ct_results, "run.json")
    for line in (
        "| bare, 2 threads spinning, one caller | 16 | 500.00 | 32.0 | 64.0 | 60 |",
        "| Triton, 2 callers | 16 | 400.00 | 80.0 | 160.0 | 60 |",
        "| 8 | 7 |",
        "| stored zip | 96 | 95 | 19 | 305 | 3.20 |",
        "| 500 | 99.2 |",
        "| hemorrhage | UNTRAINED | 2 | `cdcdcdcdcdcdcdcd` |",
        "pydicom + MONAI | 2.00 | read and decode 1.50, prepare 0.50 | 5 | 0 |",
    ):
        assert line in text
