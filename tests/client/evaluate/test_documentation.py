"""docs/evaluation.md names everything that a user can meet."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from radserve_client.evaluate import errors
from radserve_client.evaluate.labels.formats import NAMES, Match
from radserve_client.evaluate.targets import TARGETS
from radserve_client.evaluate.values import Evaluation, GradeFigures, LabelFigures

ERRORS = [
    one
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.EvaluateError) and one is not errors.EvaluateError
]


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "evaluation.md").read_text()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.code)
def test_every_error_is_explained_with_its_exit_code(page, error):
    assert f"| `{error.code}` | {2 if error.is_usage else 1} |" in page


def test_the_errors_are_those_drawn_in_their_tree():
    for error in ERRORS:
        assert f"{error.__name__} " in errors.__doc__
        assert f" {error.code} " in errors.__doc__


@pytest.mark.parametrize("name", [*NAMES, *Match])
def test_every_format_and_every_way_to_match_is_explained(page, name):
    assert f"`{name}`" in page


@pytest.mark.parametrize(("pipeline", "labels_format"), TARGETS)
def test_every_pair_of_pipeline_and_format_is_listed(page, pipeline, labels_format):
    assert f"| `{pipeline}` | `{labels_format}` |" in page


@pytest.mark.parametrize("value", [Evaluation, LabelFigures, GradeFigures])
def test_every_field_of_the_document_is_listed(page, value):
    assert [field.name for field in fields(value) if f"`{field.name}`" not in page] == []
