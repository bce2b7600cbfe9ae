"""The Grafana dashboards: current, importable anywhere, every panel explained, every expression a valid one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.make_dashboards import made
from tests.monitoring.promql import metric_names
from tests.monitoring.promtool import promtool
from tests.monitoring.rule_files import DASHBOARDS, records
from tests.monitoring.test_rules import ENSEMBLES, MODELS, matching

DOCUMENTS = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}
UNITS = {"none", "s", "reqps", "ops", "percentunit", "bytes"}
"""Grafana's ids of the units in use: seconds, requests and operations a second, shares of 1, bytes."""


def panels(document: dict[str, Any]) -> list[dict[str, Any]]:
    """What is drawn: all but the rows' headings."""
    return [panel for panel in document["panels"] if panel["type"] != "row"]


def expressions(document: dict[str, Any]) -> Iterator[str]:
    """Every expression, as Prometheus gets it when somebody has chosen."""
    for panel in panels(document):
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m").replace("$namespace", ".*").replace("$pipeline", "x")


def test_the_files_are_what_their_sources_make() -> None:
    assert {path.name: path.read_text() for path in DASHBOARDS} == made(), "run: python -m monitoring.make_dashboards"
    assert set(made()) == {"radserve-operations.json", "radserve-pipeline.json", "radserve-triton.json"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_dashboard_can_be_imported_anywhere(name: str) -> None:
    document = DOCUMENTS[name]
    assert name == f"{document['uid']}.json"
    assert document["schemaVersion"] >= 39
    assert '"id":' not in json.dumps(document), "ids belong to one Grafana"
    first = document["templating"]["list"][0]
    assert (first["name"], first["type"], first["query"]) == ("datasource", "datasource", "prometheus")
    sources = re.findall(r'"datasource": (\{[^}]+\}"\})', json.dumps(document))
    assert set(sources) == {'{"type": "prometheus", "uid": "${datasource}"}'}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_panel_says_what_it_shows(name: str) -> None:
    for panel in panels(DOCUMENTS[name]):
        assert len(panel["title"]) > 4
        assert len(panel["description"].split()) > 5, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
        assert panel["targets"], panel["title"]
        assert panel["type"] == "stat" or all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("name", DOCUMENTS)
def test_panels_do_not_lie_on_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DOCUMENTS[name]["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    found = [expr for document in DOCUMENTS.values() for expr in expressions(document)]
    done = _checked(tmp_path, found)
    assert done.returncode == 0, done.stderr
    assert f"{len(found)} rules found" in done.stdout
    assert _checked(tmp_path, [*found, "sum by (rate(x[5m]))"]).returncode != 0, "it sees no fault"


def _checked(folder: Path, found: list[str]) -> Any:
    """promtool on a file of rules that record these expressions."""
    rules = [{"record": f"a:b:c{index}", "expr": expr} for index, expr in enumerate(found)]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    return promtool(["check", "rules", "--lint=none", path])


def test_what_is_recorded_is_recorded_by_our_rules() -> None:
    recorded = {rule.name for rule in records()}
    for document in DOCUMENTS.values():
        for expr in expressions(document):
            assert {name for name in metric_names(expr) if ":" in name} <= recorded


def test_ensembles_are_left_out_here_too() -> None:
    text = "".join(expr for document in DOCUMENTS.values() for expr in expressions(document))
    patterns = re.findall(r'model!~"([^"]+)"', text)
    assert patterns
    assert all(matching(pattern, set(MODELS)) == ENSEMBLES for pattern in patterns)
