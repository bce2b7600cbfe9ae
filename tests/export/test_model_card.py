"""The model card says what the export says, and beside which profile a figure was measured.

Every figure of the contract: tests/completeness/card_rules.py.
"""

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


def test_a_published_figure_stands_in_the_column_of_the_profile_it_was_measured_with(
    spec: PipelineSpec, card: str
) -> None:
    measured = [figure for figure in spec.published if figure.profile]
    if not measured:  # tests/completeness asks for those of no profile
        return
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in card.splitlines() if line.startswith("|")]
    columns = next(row for row in rows if f"`{spec.default_profile}` (default)" in row)
    for figure in measured:
        row = next(row for row in rows if row[0] == figure.metric)
        assert row[columns.index(f"`{figure.profile}`")] == f"{figure.value:.4f}"
        assert row[columns.index(f"`{spec.default_profile}` (default)")].startswith("not measured")


def test_there_are_published_figures_to_look_for() -> None:
    assert [spec.name for spec in PIPELINES if any(figure.profile for figure in spec.published)] == ["spine"]
