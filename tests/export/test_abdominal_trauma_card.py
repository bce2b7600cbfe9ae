"""The abdominal model card says what the contract says, column by column."""

from __future__ import annotations

from pathlib import Path

import pytest

from radserve_contract.ct import OrganGradingProfile
from radserve_contract.pipelines.abdominal_trauma import RISK, SPEC
from tests.served_repository import ROOT

CARD = ROOT / "docs" / "model-cards" / "abdominal_trauma.md"


@pytest.fixture(scope="module")
def card() -> str:
    return Path(CARD).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rows(card: str) -> dict[str, list[str]]:
    """The lines of its tables by their first cell."""
    lines = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in card.splitlines() if "|" in line]
    return {row[0]: row[1:] for row in lines}


def columns(card: str) -> list[str]:
    header = next(line for line in card.splitlines() if "`deployed` (default)" in line)
    return [cell.split("`")[1] for cell in header.split("|") if "`" in cell]


@pytest.mark.parametrize("profile", SPEC.profiles, ids=lambda profile: profile.name)
def test_every_threshold_stands_in_the_column_of_its_profile(profile: OrganGradingProfile, card: str, rows) -> None:
    column = columns(card).index(profile.name.removesuffix("_128"))
    for injury in profile.injuries:
        assert rows[injury.label.name][column] == f"{injury.label.threshold.value:g}"
    for organ in profile.organs:
        wanted = ", ".join(f"{grade.threshold.value:g}" for grade in organ.grades)
        assert rows[f"{organ.name} (healthy, low, high)"][column] == wanted
    assert rows["mirror images"][column].startswith("three" if profile.flips else "none")


def test_the_default_is_marked(card: str) -> None:
    assert f"`{SPEC.default_profile}` (default)" in card
    assert set(columns(card)) == {profile.name.removesuffix("_128") for profile in SPEC.profiles}


def test_published_figures_stand_beside_no_profile(rows) -> None:
    for figure in SPEC.published:
        assert figure.profile == ""
        assert rows[figure.metric] == [f"{figure.value:.3f}"]


def test_the_risk_is_the_contracts(card: str) -> None:
    words = " ".join(card.split())
    assert f"a `high` probability is over {RISK.high_above:g}" in words
    assert f"a `low` probability is over {RISK.moderate_above:g}" in words
