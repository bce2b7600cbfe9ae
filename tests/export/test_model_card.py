"""The model card says what the contract and the export say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec
from radserve_export.pipelines import EXPORTS


@pytest.fixture(params=PIPELINES, ids=lambda spec: spec.name)
def spec(request: pytest.FixtureRequest) -> PipelineSpec:
    return request.param


@pytest.fixture
def card(spec: PipelineSpec, project_root: Path) -> str:
    return (project_root / "docs" / "model-cards" / f"{spec.name}.md").read_text(encoding="utf-8")


def test_every_deviation_that_provenance_names_is_a_heading(spec: PipelineSpec, card: str) -> None:
    headings = set(re.findall(r"^### (.+)$", card, re.MULTILINE))
    named = {name for names in EXPORTS[spec.name].DEVIATIONS.values() for name in names}
    assert named <= headings


def test_deviations_belong_to_models_that_exist(spec: PipelineSpec) -> None:
    models = {model.name for profile in spec.profiles for model in profile.models}
    assert set(EXPORTS[spec.name].DEVIATIONS) <= models


def test_thresholds_and_weights_are_the_contracts(spec: PipelineSpec, card: str) -> None:
    for profile in spec.profiles:
        threshold = profile.fusion.threshold
        assert f"score **{threshold.comparison}** {threshold.value}" in card
        for member in profile.fusion.members:
            assert f"{member.weight:.2f} x " in card


def test_a_published_figure_stands_in_the_column_of_the_profile_it_was_measured_with(
    spec: PipelineSpec, card: str
) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line.startswith("|")]
    columns = next(row for row in rows if f"`{spec.default_profile}` (default)" in row)
    measured = [figure for figure in spec.published if figure.profile]
    assert measured
    for figure in measured:
        row = next(row for row in rows if row[0] == figure.metric)
        assert row[columns.index(f"`{figure.profile}`")] == f"{figure.value:.4f}"
        assert row[columns.index(f"`{spec.default_profile}` (default)")].startswith("not measured")


def test_it_says_research_use_only(card: str) -> None:
    assert "**Research use only.**" in card
