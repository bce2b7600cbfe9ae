"""monitoring/ in, its rules and what promtool's test files say of them out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "monitoring" / "rules").glob("*.yaml"))
TESTS = sorted((ROOT / "monitoring" / "tests").glob("*.yaml"))
DASHBOARDS = sorted((ROOT / "monitoring" / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"


@dataclass(frozen=True)
class Rule:
    """A recording rule or, with ``fields["alert"]``, an alert."""

    file: Path
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.fields.get("record") or self.fields["alert"])

    @property
    def expr(self) -> str:
        return str(self.fields["expr"])


def rules() -> list[Rule]:
    """Every rule of every file."""
    return [Rule(path, rule) for path in RULES for group in read(path)["groups"] for rule in group["rules"]]


def records() -> list[Rule]:
    return [rule for rule in rules() if "record" in rule.fields]


def alerts() -> list[Rule]:
    return [rule for rule in rules() if "alert" in rule.fields]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def expected(tests: list[dict[str, Any]]) -> dict[str, set[bool]]:
    """For each alert and recording rule that promtool's tests name: whether it was seen with a value, and without.

    ``tests`` are parsed test files. An expression counts for every recorded name in it.
    """
    seen: dict[str, set[bool]] = {}
    for group in (group for file in tests for group in file["tests"]):
        for case in group.get("alert_rule_test", []):
            seen.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
        for case in group.get("promql_expr_test", []):
            for name in names_asked(case["expr"]):
                seen.setdefault(name, set()).add(bool(case.get("exp_samples")))
    return seen


def names_asked(expr: str) -> Iterator[str]:
    """The names that an expression of a test asks for: those it names, or all that match its ``__name__``."""
    if pattern := re.search(r'__name__=~"([^"]+)"', expr):
        yield from (rule.name for rule in records() if re.fullmatch(pattern[1], rule.name))
    yield from re.findall(r"\w+(?::\w+){2}", expr)
