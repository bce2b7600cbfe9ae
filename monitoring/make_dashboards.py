"""``monitoring/panels/*.yaml`` in, Grafana dashboards out: ``python -m monitoring.make_dashboards`` writes dashboards/.

A panel is a title, a description, a unit (Grafana's id of it) and its queries; place and look follow from these.
``kind`` is ``timeseries`` unless said, ``limit`` is drawn as a line or turns a figure red. They read recorded rules
wherever there is one, so that a dashboard shows what an alert sees. A test keeps the JSON current.
"""

from __future__ import annotations

from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "panels"
DASHBOARDS = FOLDER / "dashboards"
SCHEMA_VERSION = 39
"""Of Grafana 11; newer ones migrate it when they load it."""
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
SIZES = {"stat": (4, 4), "timeseries": (12, 8), "bargauge": (12, 8)}
"""Width and height by kind, in Grafana's grid."""
NAMESPACE = {
    "name": "namespace",
    "label": "Namespace",
    "query": 'label_values(up{job="radserve-service"}, namespace)',
    # without Kubernetes there is no such label, and .* matches that
    "look": {"includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}},
}


def dashboard(source: dict[str, Any]) -> dict[str, Any]:
    """A dashboard as Grafana provisions it, of a parsed file of ``panels/``."""
    return {
        "uid": source["uid"],
        "title": source["title"],
        "description": source["description"],
        "tags": ["radserve"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "tags": ["radserve"], "title": "radserve", "asDropdown": True}],
        "templating": {"list": list(_variables(source.get("variables", [])))},
        "annotations": {"list": []},
        "panels": list(_placed(source["rows"])),
    }


def _variables(more: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The choices at the top of the page."""
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for variable in (NAMESPACE, *more):
        yield {
            "name": variable["name"],
            "label": variable["label"],
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": variable["query"], "refId": variable["name"]},
            "refresh": 2,
            "sort": 1,
            **variable.get("look", {}),
        }


def _placed(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows and panels from left to right and downwards."""
    top = 0
    for row in rows:
        yield {"type": "row", "title": row["title"], "collapsed": False, "panels": []} | _place(0, top, COLUMNS, 1)
        top, left, height = top + 1, 0, 0
        for panel in row["panels"]:
            width, its_height = SIZES[panel.get("kind", "timeseries")]
            if left + width > COLUMNS:
                top, left, height = top + height, 0, 0
            yield _panel(panel) | _place(left, top, width, its_height)
            left, height = left + width, max(height, its_height)
        top += height


def _place(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(panel: dict[str, Any]) -> dict[str, Any]:
    kind = panel.get("kind", "timeseries")
    is_instant = kind != "timeseries"
    return {
        "type": kind,
        "title": panel["title"],
        "description": panel["description"],
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": _look(panel, kind), "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query["expr"],
                "legendFormat": query.get("legend", ""),
                "instant": is_instant,
                "range": not is_instant,
            }
            for index, query in enumerate(panel["queries"])
        ],
    }


def _look(panel: dict[str, Any], kind: str) -> dict[str, Any]:
    limit = panel.get("limit")
    steps = [{"color": "green", "value": None}] + ([] if limit is None else [{"color": "red", "value": limit}])
    look: dict[str, Any] = {"unit": panel["unit"], "thresholds": {"mode": "absolute", "steps": steps}}
    if kind == "timeseries":
        look["min"] = 0
        look["custom"] = {
            "fillOpacity": 10,
            "stacking": {"mode": "normal" if panel.get("stacked") else "none"},
            "thresholdsStyle": {"mode": "off" if limit is None else "line"},
        }
    return look


def made() -> dict[str, str]:
    """The files of ``dashboards/``: name and JSON."""
    sources = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(SOURCES.glob("*.yaml")))
    return {
        f"{source['uid']}.json": dumps(dashboard(source), indent=2, ensure_ascii=False) + "\n" for source in sources
    }


def main() -> None:
    """Write them."""
    for name, text in made().items():
        (DASHBOARDS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
