"""The Prometheus rules: every one tested by promtool, right at every rate, and true to the contract."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import ModelKind
from radserve_contract.volumes import VolumeFault
from radserve_preproc.error_docs import all_codes, all_errors
from radserve_preproc.score_reference import MIN_STUDIES
from tests.monitoring.promql import metric_names, windows
from tests.monitoring.promtool import promtool
from tests.monitoring.rule_files import RULES, TESTS, alerts, expected, read, records, rules

MODELS = {model.name: model for spec in PIPELINES for profile in spec.profiles for model in profile.models}
ENSEMBLES = {name for name, model in MODELS.items() if model.kind is ModelKind.ENSEMBLE}
STATUS = {error.code: error.http_status for error in all_errors()} | {fault.value: 422 for fault in VolumeFault}
TRITON = [rule for rule in rules() if any(name.startswith("nv_inference_") for name in metric_names(rule.expr))]


def matching(pattern: str, values: set[str]) -> set[str]:
    """The values that a Prometheus regular expression matches: it is anchored."""
    return {value for value in values if re.fullmatch(pattern, value)}


def test_promtool_accepts_the_rules() -> None:
    done = promtool(["check", "rules", *RULES])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS: " in done.stdout


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    done = promtool(["test", "rules", path])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "becomes", "of"),
    [
        # what others' charts and tutorials do
        ("/ (namespace_model:nv_inference_request_success:rate5m > 0)", "/ clamp_min(", "mean of 5 s"),
        ('{model!~"spine(_published)?(_classification)?"}', "", "ensembles"),
        ('{reason!="CANCELED",', "{", "cancelled"),
    ],
)
def test_the_known_mistakes_of_others_fail_the_tests(tmp_path: Path, was: str, becomes: str, of: str) -> None:
    shutil.copytree(RULES[0].parents[1] / "tests", tmp_path / "tests")
    shutil.copytree(RULES[0].parent, tmp_path / "rules")
    path = tmp_path / "rules" / "radserve-recording.yaml"
    text = path.read_text()
    assert was in text
    if becomes.endswith("("):
        becomes = f"{becomes}namespace_model:nv_inference_request_success:rate5m, 1)"
    path.write_text(text.replace(was, becomes))
    done = promtool(["test", "rules", tmp_path / "tests" / "recording.yaml"])
    assert done.returncode != 0
    assert "exp:" in done.stderr, f"no value was found wrong: {of}"


def test_every_rule_is_tested_with_a_value_and_without() -> None:
    seen = expected([read(path) for path in TESTS])
    assert {rule.name for rule in rules() if seen.get(rule.name) != {True, False}} == set()


def test_a_rule_without_a_test_is_seen() -> None:
    case = {"promql_expr_test": [{"expr": "round(a:b_c:d5m, 1e-4)", "exp_samples": [1]}]}
    alert = {"alert_rule_test": [{"alertname": "A", "exp_alerts": []}]}
    assert expected([{"tests": [case, alert]}]) == {"a:b_c:d5m": {True}, "A": {False}}


def test_names_are_level_metric_operation_in_base_units() -> None:
    for rule in records():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*:(radserve|nv)_[a-z0-9_]+:[a-z0-9_]+", rule.name), rule.name
        assert not re.search(r"_(us|ms|mb)(:|_|$)", rule.name)
    names = [rule.name for rule in rules()]
    assert len(names) == len(set(names))


def test_a_level_names_the_labels_that_are_left() -> None:
    for rule in records():
        level, _, operation = rule.name.split(":")
        if operation.startswith(("rate", "mean", "increase", "sum")) and "by (" in rule.expr and "_bin" not in level:
            labels = {tuple(re.split(r",\s*", found)) for found in re.findall(r"\bby \(([^)]+)\)", rule.expr)}
            assert {"_".join(found) for found in labels} == {level}, rule.name


def test_a_rule_reads_one_window_and_says_which() -> None:
    for rule in records():
        found = windows(rule.expr)
        assert len(found) <= 1, f"{rule.name} mixes {found}: its ratio would be of different times"
        for window in found:
            assert rule.name.endswith(window), rule.name


def test_no_divisor_is_raised_and_no_counter_is_read_as_a_gauge() -> None:
    for rule in rules():
        assert not re.search(r"\b(delta|idelta|deriv|irate)\(", rule.expr), rule.name
        if rule.file.stem != "radserve-drift":  # there it is the floor of a share, as its head says
            assert "clamp_min" not in rule.expr, rule.name
        for divisor in re.findall(r"/ (?:on [^(]*\([^)]*\) group_left \(\)\s+)?(\S+)", rule.expr):
            assert re.fullmatch(r"1e6|\(.*|clamp_min.*", divisor), f"{rule.name}: {divisor}"
        quotients = len(re.findall(r"/ (?:on [^(]*\([^)]*\) group_left \(\)\s+)?\(", rule.expr))
        assert len(re.findall(r"> 0\s*\)", rule.expr)) >= quotients, f"{rule.name}: a divisor may be 0"


def test_triton_is_read_without_its_ensembles() -> None:
    for rule in TRITON:
        for selector in re.findall(r"nv_inference_\w+(?:\{[^}]*\})?(?![\w:])", re.sub(r"\w+:\w+:\w+", "", rule.expr)):
            pattern = re.search(r'model!~"([^"]+)"', selector)
            assert pattern, f"{rule.name}: {selector} counts ensembles too"
            assert matching(pattern[1], set(MODELS)) == ENSEMBLES
    assert len(TRITON) > 8


def test_failures_are_those_of_the_services_own_making() -> None:
    ours = {code for code, status in STATUS.items() if status >= 500} - {"PROFILE_NOT_LOADED"}
    found = [rule for rule in records() if ":radserve_requests_failed:" in rule.name]
    assert len(found) == 9
    for rule in found:
        (pattern,) = re.findall(r'code=~"([^"]+)"', rule.expr)
        assert set(pattern.split("|")) == ours


def test_decode_failures_are_those_of_the_files() -> None:
    (rule,) = (rule for rule in records() if "decode_failures" in rule.name)
    (pattern,) = re.findall(r'code!~"([^"]+)"', rule.expr)
    codes = {*all_codes(), "CLIENT_GONE"}
    assert codes - matching(pattern, codes) == {code for code, status in STATUS.items() if status in (415, 422)}
    assert set(pattern.split("|")) <= codes, "it names a code that does not exist"


def test_the_goal_of_films_holds_for_the_pipelines_of_films() -> None:
    (rule,) = (rule for rule in alerts() if rule.name == "RadserveStatLatency")
    films = {spec.name for spec in PIPELINES if spec.volumes is None}
    for pattern in re.findall(r'pipeline[=!]~"([^"]+)"', rule.expr):
        assert matching(pattern, {spec.name for spec in PIPELINES}) == films


def test_drift_asks_for_as_many_studies_as_a_reference() -> None:
    (rule,) = (rule for rule in records() if rule.name.endswith("psi24h"))
    assert f">= {MIN_STUDIES})" in rule.expr


def test_rules_read_what_is_recorded_or_scraped() -> None:
    recorded = {rule.name for rule in records()}
    for rule in rules():
        assert {name for name in metric_names(rule.expr) if ":" in name} <= recorded, rule.name


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ("rate(a_total[5m])", {"a_total"}),
        (
            'sum by (pod, le) (rate(a_bucket{x="b{c}",y!~"d|e"}[5m:1m])) / on (z) group_left () (f > 0)',
            {"a_bucket", "f"},
        ),
        ("a:b:c5m offset 1d and -1e6 * time() < bool 14.4", {"a:b:c5m"}),
        ('label_replace(a, "b", "$1", "c", "(.+)") or vector(1)', {"a"}),
        ('{__name__="a"} # b', set()),
    ],
)
def test_the_names_in_an_expression_are_found(expr: str, names: set[str]) -> None:
    assert metric_names(expr) == names
