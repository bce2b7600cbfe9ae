"""Every alert says what to do: its severity, its words and its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radserve_preproc.metrics import Metrics
from radserve_preproc.settings import Settings, variable
from tests.monitoring.rule_files import ROOT, RUNBOOKS, Rule, alerts

PARTS = ("## What it means", "## What to look at", "## What to do")
PAGES = sorted(RUNBOOKS.glob("*.md"))
COMPOSE_VARIABLES = set(re.findall(r"\$\{(RADSERVE_\w+)", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
INDEX = (RUNBOOKS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_has_a_severity_and_its_words(alert: Rule) -> None:
    assert alert.fields["labels"]["severity"] in {"critical", "warning"}
    assert set(alert.fields["annotations"]) == {"summary", "description", "runbook_url"}
    assert "{{" not in alert.name


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_has_its_page(alert: Rule) -> None:
    url = alert.fields["annotations"]["runbook_url"]
    assert url == f"docs/runbooks/{alert.name}.md"
    text = (ROOT / url).read_text(encoding="utf-8")
    assert text.startswith(f"# {alert.name}\n")
    positions = [text.find(part) for part in PARTS]
    assert -1 not in positions
    assert positions == sorted(positions)
    for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:]:
        assert len(part.split()) > 15, "says next to nothing"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_the_table_of_alerts_has_it_with_its_severity(alert: Rule) -> None:
    assert f"| [{alert.name}]({alert.name}.md) | {alert.fields['labels']['severity']} |" in INDEX


def test_there_is_no_page_without_its_alert() -> None:
    pages = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == {alert.name for alert in alerts()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def unknown_names(text: str) -> set[str]:
    """Settings and metrics of the service that a text names although there are none of that name."""
    metrics = Metrics()
    metrics.show_models(tuple)
    metrics.show_certificates({})
    families = {family.name for family in metrics.registry.collect()}
    named = {re.sub(r"_(total|info)$", "", name) for name in re.findall(r"`(radserve_\w+)", text)}
    settings = {variable(field) for field in Settings.model_fields} | COMPOSE_VARIABLES
    return (named - families) | (set(re.findall(r"RADSERVE_[A-Z_]+[A-Z]", text)) - settings)


def test_a_name_that_does_not_exist_is_seen() -> None:
    text = "`radserve_ready`, `radserve_failures_total{}`, `radserve_redy`, `RADSERVE_QUEUE`, `RADSERVE_QUEUES`"
    assert unknown_names(text) == {"radserve_redy", "RADSERVE_QUEUES"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_and_metric_of_a_page_exists(page: Path) -> None:
    assert unknown_names(page.read_text(encoding="utf-8")) == set()
