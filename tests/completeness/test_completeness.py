"""Every pipeline of the contract is everywhere it has to be. What is missing is named with its path."""

from __future__ import annotations

import pytest

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec
from tests.completeness.config_rules import stray_folders
from tests.completeness.place_rules import place_problems
from tests.served_repository import ROOT

REPOSITORY = ROOT / "model_repository"


@pytest.mark.parametrize("spec", PIPELINES, ids=lambda spec: spec.name)
def test_a_pipeline_is_in_every_place_it_needs(spec: PipelineSpec):
    assert place_problems(ROOT, spec) == []


def test_no_folder_of_the_repository_is_without_a_spec():
    known = {model.name for spec in PIPELINES for profile in spec.profiles for model in profile.models}

    assert stray_folders(REPOSITORY, known) == []
