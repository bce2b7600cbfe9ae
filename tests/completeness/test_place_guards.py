"""Each rule about places and model cards, seen failing once: on a folder with one thing wrong, it names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radserve_contract.ct import VolumeLabelsProfile
from radserve_contract.pipelines import abdominal_trauma, covid_lung, head_ct, hemorrhage, spine
from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import PipelineSpec, PublishedFigure
from radserve_preproc.tasks.registry import TASKS
from tests.completeness import place_rules
from tests.completeness.card_rules import FIGURES, blocks_of, card_problems, figures_of
from tests.completeness.place_rules import PLACES, build_problems, golden_problems, readme_problems, task_problems
from tests.served_repository import ROOT

SPECS = (SPEC, hemorrhage.SPEC, head_ct.SPEC, abdominal_trauma.SPEC, covid_lung.SPEC)
CONTRACT, EXPORT = "contract/src/radserve_contract/pipelines", "export/src/radserve_export/pipelines"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("place", [place for place in PLACES if "registry" not in place])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_place_that_lacks_the_pipeline_is_named(tmp_path: Path, place: str, spec: PipelineSpec):
    problems = list(PLACES[place](tmp_path, spec))

    assert problems
    paths = [tmp_path / place.format(name=model.name) for model in spec.profile().models]
    named = paths if "model_repository" in place else [tmp_path / place.format(name=spec.name)]
    assert [path for path in named if not any(line.startswith(f"{path}: ") for line in problems)] == []


NEARLY = [  # place, its text, what is said about it
    (f"{CONTRACT}/spine.py", "SPECS = 1\n", "defines no SPEC"),
    (f"{CONTRACT}/__init__.py", "from x import spine\nPIPELINES = (old.SPEC,)\n", "PIPELINES does not list spine.SPEC"),
    (f"{CONTRACT}/__init__.py", "PIPELINES = tuple(find())\n", "PIPELINES does not list spine.SPEC"),
    (f"{EXPORT}/__init__.py", "from x import spine\n_MODULES: tuple = (head,)\n", "does not list spine"),
    (f"{EXPORT}/spine.py", "def build(): ...\nSPEC = CHECKPOINTS = 1\n", "defines no DEVIATIONS"),
    (f"{EXPORT}/spine.py", "from x import SPEC\nDEVIATIONS = CHECKPOINTS = {}\nbuild = 1\n", "defines no build()"),
    ("helm/radserve/values.yaml", "other:\n  - spine\npipelines:\n  - spines\n", "pipelines does not list spine"),
    ("devstack/src/radserve_devstack/demo_studies.py", "STUDIES = {'spines': 1}\nOLD = {'spine': 1}\n", "nothing for"),
]


@pytest.mark.parametrize(("place", "text", "words"), NEARLY)
def test_a_place_that_nearly_has_the_pipeline_does_not_count(tmp_path: Path, place: str, text: str, words: str):
    path = write(tmp_path / place, text)
    rule = PLACES[place.replace("spine", "{name}")]

    (problem,) = rule(tmp_path, SPEC)

    assert problem.startswith(f"{path}: ")
    assert words in problem


def test_a_build_that_is_not_a_function_of_the_module_does_not_count(tmp_path: Path):
    path = write(tmp_path / EXPORT / "spine.py", "class Spine:\n    def build(self): ...\n")

    assert list(build_problems(tmp_path, SPEC)) == [f"{path}: defines no CHECKPOINTS, DEVIATIONS, SPEC, build()"]


def test_a_kind_of_profile_without_a_task_is_named(tmp_path: Path):
    known = {kind: task for kind, task in TASKS.items() if kind is not VolumeLabelsProfile}
    path = tmp_path / "preproc_service/src/radserve_preproc/tasks/registry.py"

    assert list(task_problems(tmp_path, head_ct.SPEC, known)) == [
        f"{path}: TASKS has nothing for a VolumeLabelsProfile"
    ]


def test_profiles_of_several_kinds_are_named(tmp_path: Path):
    mixed = replace(SPEC, profiles=(*SPEC.profiles, *hemorrhage.SPEC.profiles))

    assert "of several kinds" in " ".join(task_problems(tmp_path, mixed))


@pytest.mark.parametrize(
    ("code", "known"),
    [
        ('if name == "spine":\n    pass\n', True),
        ('special = {"spine": 1}\n', True),
        ("from radserve_contract.pipelines import spine\n", True),
        ("from radserve_contract.pipelines.spine import SPEC\n", True),
        ("import radserve_contract.pipelines.spine\n", True),
        ('"""As spine does."""\nname: str = Path(examples=["spine"])  # spine\n', False),
        ("from radserve_contract.pipelines import PIPELINES\n", False),
    ],
)
def test_a_service_that_asks_for_a_pipeline_by_name_is_named(tmp_path: Path, code: str, known: bool):
    path = write(tmp_path / "preproc_service/src/radserve_preproc/odd.py", code)

    problems = list(place_rules.service_problems(tmp_path, SPEC))

    assert [problem.startswith(f"{path}:1: the service knows spine by name") for problem in problems] == [True] * known


@pytest.mark.parametrize("row", ["| spineology | x |", "The spine pipeline | x", "| lumbar spine |"])
def test_a_row_of_another_name_does_not_count(tmp_path: Path, row: str):
    write(tmp_path / "README.md", row)

    assert list(readme_problems(tmp_path, SPEC))


@pytest.mark.parametrize("row", ["| spine | x |", "| `spine` | x |", "| [`spine`](docs/model-cards/spine.md) | x |"])
def test_a_row_of_the_name_counts(tmp_path: Path, row: str):
    write(tmp_path / "README.md", f"# title\n\n{row}\n")

    assert not list(readme_problems(tmp_path, SPEC))


@pytest.mark.parametrize(
    "study",
    [
        {},
        {"profile": "deployed"},
        {"profile": "deployed", "tolerance": {"score": 1}, "expected": {}},
        {"profile": "published", "tolerance": {"score": 1}, "expected": {"label": "normal"}},
    ],
)
def test_a_golden_study_without_answer_or_tolerance_or_of_another_profile_does_not_count(tmp_path: Path, study: dict):
    path = write(tmp_path / "tests/golden/spine/study.json", json.dumps(study))

    assert list(golden_problems(tmp_path, SPEC)) == [
        f"{path.parent}: no study of profile deployed with what is expected and a tolerance"
    ]


def printed(spec: PipelineSpec) -> str:
    """A card that says everything and nothing more, a figure a paragraph."""
    figures = [" ".join(figure) for figure in figures_of(spec)]
    names = [profile.name for profile in spec.profiles]
    return "\n\n".join(["**Research use only.**", *names, *figures, *(f"{item.value:g}" for item in spec.published)])


@pytest.fixture
def card(tmp_path: Path) -> Callable[[PipelineSpec, str], list[str]]:
    """What is said about a card with that text, without its path."""

    def problems(spec: PipelineSpec, text: str) -> list[str]:
        path = write(tmp_path / f"docs/model-cards/{spec.name}.md", text)
        return [problem.removeprefix(f"{path}: ") for problem in card_problems(tmp_path, spec)]

    return problems


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_every_figure_that_a_card_leaves_out_is_named(card: Callable[..., list[str]], spec: PipelineSpec):
    whole = printed(spec)
    assert card(spec, whole) == []
    for figure in dict.fromkeys(" ".join(figure) for figure in figures_of(spec)):
        paragraphs = [paragraph for paragraph in whole.split("\n\n") if figure.split()[-1] not in paragraph.split()]
        assert f"does not say in one place: {figure}" in card(spec, "\n\n".join(paragraphs))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("score > 0.449", "score >= 0.449", "does not say in one place: score > 0.449"),
        ("score > 0.449", "score\n\n> 0.449", "does not say in one place: score > 0.449"),
        ("score > 0.449", "score > 0.4490", "does not say in one place: score > 0.449"),
        ("logit 0.001", "logit 0.0015", "does not say in one place: logit 0.001"),
        ("published", "publishing", "does not mention profile published"),
        ("0.9103", "0.9104", "does not give the published AUROC, 0.9103"),
        ("**Research use only.**", "For doctors.", "does not say that it is for research use only"),
    ],
)
def test_a_card_with_another_figure_is_named(card: Callable[..., list[str]], old: str, new: str, said: str):
    whole = printed(SPEC)
    assert old in whole

    assert said in card(SPEC, whole.replace(old, new))


def test_profiles_of_a_family_may_be_named_by_their_ending(card: Callable[..., list[str]]):
    spec = abdominal_trauma.SPEC
    family = printed(spec).replace("_128", "_129") + "\n\nand `<name>_128`"

    assert card(spec, family) == []
    assert "does not mention profile plain_128" in card(spec, family.replace("`<name>_128`", ""))


def test_a_published_figure_of_no_profile_is_wanted_too(card: Callable[..., list[str]]):
    spec = replace(covid_lung.SPEC, published=(PublishedFigure("IoU", 0.875, "", "", ""),))

    assert card(spec, printed(covid_lung.SPEC)) == ["does not give the published IoU, 0.875"]


def test_rows_of_a_table_stand_alone_and_paragraphs_together():
    assert blocks_of("a **1**\nb `2`\n\n| c | 3 |\n| d | 4 |\n") == ["| c | 3 |", "| d | 4 |", "a 1\nb 2"]


def test_every_kind_of_profile_with_a_task_has_figures_to_print():
    assert set(TASKS) <= set(FIGURES)


def test_the_real_cards_fail_when_a_threshold_moves(tmp_path: Path):
    shutil.copytree(ROOT / "docs/model-cards", tmp_path / "docs/model-cards")
    moved = replace(spine.DEPLOYED.fusion, threshold=replace(spine.DEPLOYED.fusion.threshold, value=0.45))
    spec = replace(SPEC, profiles=(replace(spine.DEPLOYED, fusion=moved), spine.PUBLISHED))

    assert [line.partition(": ")[2] for line in card_problems(tmp_path, spec)] == [
        "does not say in one place: score > 0.45"
    ]
