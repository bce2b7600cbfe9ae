"""Capacity by hand from round numbers, and the pages that are written from the recorded run."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from bench import pages
from bench.capacity import (
    CHART,
    DAY,
    PRIORITIES,
    TARGET,
    WORKING_DAYS,
    Cores,
    Work,
    archive_days,
    busy_in_peak,
    cores_for,
    megabit_per_s,
    terabytes,
    times,
)
from bench.capacity_page import SLICES, feeding, origin
from bench.recorded import Recorded, write
from bench.results import Storage
from bench.scaling import at_load, rate_for, split
from bench.study_costs import NotMeasured, StudyCost, calls, ct, film
from radserve_contract.pipelines import PIPELINES

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS, SCALING = ROOT / "docs" / "operations.md", ROOT / "docs" / "scaling.md"
J2K, PLAIN = Storage


@cache
def as_they_should_be():
    return pages.current()


def test_a_normal_film_costs_what_the_service_leaves_without_the_generator(results):
    """2 cores / 6 films/s - 0.15 own - 0.05 generator."""
    cost = film(results, "normal", J2K)
    assert cost.service_s == pytest.approx(0.15)
    assert cost.calls_s == pytest.approx((2 / 6 - 0.15 - 0.05,))
    assert cost.per_hour(0.6) == pytest.approx(0.6 * 3600 / (2 / 6 - 0.05))


def test_a_film_costs_triton_no_less_than_the_classification_alone(results):
    """Uncompressed: 2 / 12 - 0.05 - 0.05 is below 2 / 20."""
    assert film(results, "normal", PLAIN).calls_s == pytest.approx((0.1,))


def test_an_abnormal_film_is_two_calls(results):
    """2 / 1.5 - 0.2 - 0.05, of which 2 / 20 is the first."""
    assert film(results, "abnormal", J2K).calls_s == pytest.approx((0.1, 2 / 1.5 - 0.25 - 0.1))


def test_a_ct_costs_its_slices_and_its_items(ct_results):
    """0.5 s on 2 cores for 300 slices; 2 cores / 1.8 items/s, four items with the mirror images."""
    cost = ct(ct_results, "abdominal_trauma", PLAIN, slices=150)
    assert cost.service_s == pytest.approx(0.5)
    assert cost.calls_s == pytest.approx((4 * 2 / 1.8,))
    assert cost.size_bytes == 75_000_000


@pytest.mark.parametrize(
    ("pipeline", "slices", "expected"),
    [
        ("hemorrhage", 40, (16, 16, 8)),
        ("covid_lung", 16, (8, 8)),
        ("head_ct", 160, (1,)),
        ("abdominal_trauma", 300, (4,)),
    ],
)
def test_each_pipeline_asks_as_its_default_profile_does(pipeline, slices, expected):
    assert calls(pipeline, slices) == expected


def test_what_was_not_measured_is_said_and_not_guessed(results, ct_results):
    with pytest.raises(NotMeasured, match=r"\(e\), head_ct, JPEG 2000"):
        ct(ct_results, "head_ct", J2K, slices=160)
    with pytest.raises(NotMeasured, match=r"\(f\), covid_lung"):
        ct(ct_results, "covid_lung", PLAIN, slices=60)
    with pytest.raises(NotMeasured, match="abnormal film, uncompressed"):
        film(replace(results, core_time=results.core_time[:3]), "abnormal", PLAIN)


def test_every_ct_pipeline_is_sized():
    assert set(SLICES) == {spec.name for spec in PIPELINES if spec.volumes is not None}


@pytest.fixture
def site():
    """26,000 studies a year, 100 a working day, 11 in the busiest hour: 2 core seconds of the service, 6 of Triton."""
    cost = StudyCost("a CT", "covid_lung", J2K, 8, 2.0, (6.0,), 45_000_000, spread=2)
    return (Work("CTs", 26_000, cost),)


def test_a_site_by_hand(site):
    busy = busy_in_peak(site)
    assert (busy.service, busy.triton) == pytest.approx((22 / 3600, 66 / 3600))
    assert cores_for(Cores(1.21, 0.2), 0.6) == Cores(3, 1)
    assert megabit_per_s(site) == pytest.approx(11 * 45 * 8 / 3600)
    assert terabytes(site) == pytest.approx(26_000 * 45e6 / 1e12)
    assert times(site, 3)[0].yearly == 78_000


def test_an_archive_is_as_slow_as_its_slowest_part(site):
    """A network has two threads: the other six cores of this Triton do not help it, another Triton does."""
    core_s, mean = 5 * 26_000 * 6.0, 100 * 6.0 / 86_400
    days = core_s / (0.9 * 2 - mean) / 86_400
    assert archive_days(site, Cores(8, 8), tritons=1) == pytest.approx(days)
    assert archive_days(site, Cores(8, 8), tritons=2) == pytest.approx(core_s / (0.9 * 4 - mean) / 86_400)
    assert archive_days(times(site, 1000), Cores(8, 8), tritons=1) == math.inf


def test_a_load_is_reached_by_the_busier_station(site):
    have = split(site, 4)
    assert have == Cores(1, 3)
    assert rate_for(site, have, 0.6) == pytest.approx(0.6 * min(1 / 2.0, 3 / 6.0))
    found = at_load(site, 4, 0.6)
    assert max(found.busy.service, found.busy.triton) == pytest.approx(0.6, abs=0.06)


def test_shares_add_up():
    assert sum(DAY) == pytest.approx(1)
    assert len(DAY) == 24
    assert sum(PRIORITIES.values()) == pytest.approx(1)


def test_the_charts_figures_are_the_charts():
    values = yaml.safe_load((ROOT / "helm/radserve/values.yaml").read_text(encoding="utf-8"))
    preproc, triton = values["preproc"], values["triton"]
    assert preproc["replicaCount"] * preproc["settings"]["cpuThreads"] == CHART.service
    assert int(preproc["resources"]["requests"]["cpu"]) == preproc["settings"]["cpuThreads"]
    assert triton["replicaCount"] * int(triton["resources"]["requests"]["cpu"]) == CHART.triton
    assert (preproc["resources"]["limits"]["memory"], triton["resources"]["limits"]["memory"]) == ("8Gi", "8Gi")


@pytest.mark.parametrize("page", [OPERATIONS, SCALING], ids=lambda page: page.name)
def test_the_page_shows_the_newest_recorded_run_and_no_other_number(page):
    assert as_they_should_be()[page] == page.read_text(encoding="utf-8"), "run `.venv/bin/python -m bench capacity`"


def rows_of(part):
    """The rows of a generated table of operations.md, cells as text."""
    text = OPERATIONS.read_text(encoding="utf-8").split(f"<!-- {part}: ")[1].split(f"<!-- end of {part} -->")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(cell):
    return float(cell.replace(",", ""))


def test_the_worked_site_adds_up_as_a_reader_would_add_it():
    """From the page's own rounded figures, so to a few per cent."""
    *works, total = rows_of("site")
    assert sum(number(row[1]) for row in works if "film" in row[0]) == 200_000
    assert sum(number(row[1]) for row in works if "CTs" in row[0]) == 60_000
    for row in works:
        yearly, daily, peak, service, triton, in_service, in_triton = map(number, row[1:])
        assert daily == pytest.approx(yearly / WORKING_DAYS, abs=0.51)
        assert peak == pytest.approx(yearly / WORKING_DAYS * max(DAY), abs=0.051)
        assert in_service == pytest.approx(peak * service, rel=0.06, abs=1)
        assert in_triton == pytest.approx(peak * triton, rel=0.06, abs=1)
    for column in (6, 7):
        assert number(total[column]) == pytest.approx(sum(number(row[column]) for row in works), abs=len(works))


def test_the_first_row_of_costs_is_worked_out_right():
    text = OPERATIONS.read_text(encoding="utf-8")
    service, triton, hour = re.search(r"3600 / \(([\d.]+) \+ ([\d.]+)\) = ([\d,]+) films", text).groups()
    assert number(hour) == pytest.approx(3600 / (float(service) + float(triton)), rel=0.01)
    first = rows_of("costs")[0]
    assert number(first[6]) == number(hour)
    assert number(first[7]) == pytest.approx(TARGET * number(hour), abs=1)


def test_capacity_grows_with_cores():
    rows = rows_of("capacity")
    for small, large in pairwise(rows):
        assert number(large[1]) == pytest.approx(number(small[1]) * number(large[0]) / number(small[0]), rel=0.001)


def test_another_run_is_another_page(results, tmp_path):
    changed = replace(results, core_time=tuple(replace(time, decode_s=9 * time.decode_s) for time in results.core_time))
    assert feeding(results) != feeding(changed)


def test_a_folder_without_both_halves_says_so(results, tmp_path):
    write(Recorded(results, None), tmp_path / "2026-01-02-0300-cpu.json")
    with pytest.raises(pages.NothingRecorded, match="of films and of CT"):
        pages.current(tmp_path)


@pytest.mark.parametrize("page", ["# None", "<!-- end of a --> <!-- a: written by `python -m bench capacity` -->"])
def test_a_page_without_its_markers_is_an_error(page):
    with pytest.raises(ValueError, match="<!-- a: written by"):
        pages.rewritten(page, [("a", "text")])


def test_text_around_a_generated_part_stays():
    page = "before\n<!-- a: written by `python -m bench capacity` -->\nold\n<!-- end of a -->\nafter\n"
    once = pages.rewritten(page, [("a", "new")])
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "new" in once
    assert "old" not in once
    assert pages.rewritten(once, [("a", "new")]) == once


def test_trained_networks_are_not_called_untrained(results, ct_results):
    assert "UNTRAINED" in origin(results, ct_results, "x")
    trained = replace(results, models=tuple(replace(model, trained=True) for model in results.models))
    networks = tuple(replace(run, model=replace(run.model, trained=True)) for run in ct_results.networks)
    assert "UNTRAINED" not in origin(trained, replace(ct_results, networks=networks), "x")
    assert "UNTRAINED" in origin(trained, ct_results, "x")


def test_every_alert_has_a_first_step():
    rules = yaml.safe_load((ROOT / "monitoring/rules/radserve-alerts.yaml").read_text(encoding="utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    listed = re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| \S", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(alerts)


def test_every_published_port_is_listed():
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    published = set(re.findall(r'"127\.0\.0\.1:[^"]*:(\d+)"', compose))
    listed = set(
        re.findall(r"^\| (\d+) \| .* on 127\.0\.0\.1 of the machine \|$", OPERATIONS.read_text(), re.MULTILINE)
    )
    assert listed == published
