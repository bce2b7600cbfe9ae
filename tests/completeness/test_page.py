"""docs/add-a-pipeline.md, followed: each place is named while it lacks the toy, and none is when the page ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from radserve_contract.spec import PipelineSpec
from radserve_preproc.tasks.registry import TASKS
from tests.completeness import page
from tests.completeness.card_rules import FIGURES
from tests.completeness.place_rules import PLACES, place_problems
from tests.served_repository import ROOT

TASKS_PLACE = "preproc_service/src/radserve_preproc/tasks/registry.py"


@pytest.fixture
def spec(tmp_path_factory: pytest.TempPathFactory) -> PipelineSpec:
    """The toy's SPEC as the page writes it."""
    path = tmp_path_factory.mktemp("spec") / "toy_ct.py"
    path.write_text(page.fences()[f"{page.CONTRACT}/toy_ct.py"])
    with page.loaded(path) as module:
        return module.SPEC


def lacking(root: Path, spec: PipelineSpec) -> list[str]:
    """The places that the rules name, relative to ``root``."""
    paths = [problem.partition(": ")[0] for problem in place_problems(root, spec)]
    return [Path(path).relative_to(root).as_posix() for path in dict.fromkeys(paths)]


def test_the_page_lists_the_places_where_the_rules_look():
    assert page.table_places() == [place.format(name=page.TOY) for place in PLACES]


def test_the_page_lists_the_kinds_of_profiles_that_the_service_and_the_cards_know():
    assert set(TASKS) <= set(FIGURES)
    assert page.profile_kinds() == [kind.__name__ for kind in FIGURES]


def test_each_place_is_named_until_the_page_has_been_followed(tmp_path: Path, spec: PipelineSpec):
    page.begin(tmp_path)
    left = [place.format(name=page.TOY) for place in PLACES if place != TASKS_PLACE]
    assert sorted(page.steps()) == sorted(left)

    for place, step in page.steps().items():
        assert lacking(tmp_path, spec) == left
        step(tmp_path)
        left.remove(place)

    assert place_problems(tmp_path, spec) == []


def test_a_list_with_the_toy_in_it_is_one_that_python_reads(tmp_path: Path):
    page.follow(tmp_path)

    with page.installed(tmp_path, "radserve_contract.pipelines"):
        with page.loaded(tmp_path / page.CONTRACT / "__init__.py") as listed:
            assert listed.pipeline(page.TOY) is listed.PIPELINES[0]
            assert listed.PIPELINES[0].name == page.TOY


def test_the_demo_draws_the_toys_study(tmp_path: Path):
    page.follow(tmp_path)

    with page.loaded(tmp_path / page.DEMO) as demo:
        (study,) = demo.draw_phantoms(page.TOY, tmp_path / "demo", again=False)

    assert (tmp_path / "demo/head-lesion-slice.dcm").read_bytes()[128:132] == b"DICM"
    assert [file.name for file in study.files] == ["head-lesion-slice.dcm"]


def test_the_pages_python_is_in_the_houses_style(tmp_path: Path):
    page.follow(tmp_path)
    modules = [tmp_path / folder / f"{page.TOY}.py" for folder in (page.CONTRACT, page.EXPORT)]
    ruff, config = Path(sys.executable).with_name("ruff"), ["--config", str(ROOT / "pyproject.toml")]

    for command in (["check"], ["format", "--check"]):
        run = subprocess.run([ruff, *command, *config, *modules], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout


def test_the_service_has_never_heard_of_the_toy():
    sources = [path for path in (ROOT / "preproc_service/src").rglob("*") if path.suffix in (".py", ".toml")]

    assert len(sources) > 50
    assert [path for path in sources if page.TOY in path.read_text("utf-8")] == []


def test_a_step_that_is_left_out_is_named(tmp_path: Path, spec: PipelineSpec):
    for number, left_out in enumerate(page.steps()):
        root = page.begin(tmp_path / str(number))
        for place, step in page.steps().items():
            if place != left_out:
                step(root)
        assert lacking(root, spec) == [left_out]
