"""The README against the repository: links, targets, pipelines, pictures. Its commands: tests/end_to_end/."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from radserve_client.cli import app
from radserve_client.outcome import ExitCode
from radserve_contract.pipelines import PIPELINES
from radserve_devstack.demo_studies import STUDIES
from radserve_devstack.pictures import HEIGHT_PX, OVERLAYS, film_pair, write

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
LARGEST_PICTURE_BYTES = 250_000
PICTURES = sorted(["phantoms.png", *OVERLAYS])


def pages() -> list[Path]:
    """The pages of this part of the docs."""
    return [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "client/README.md", "docs/add-a-pipeline.md")]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    missing = [link for link in links if not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


def test_the_readme_has_links_and_pictures_to_check() -> None:
    assert len(re.findall(r"\]\(([^)\s]+)\)", README)) > 20
    assert len(re.findall(r"!\[", README)) == len(PICTURES)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_code_style_is_there(page: Path) -> None:
    made = ("demo/", ".radserve", "../", "~")  # what commands make
    words = re.findall(r"`([\w.\-]+/[\w./\-]+)`", page.read_text())
    paths = [word for word in words if not word.startswith(made) and "toy_ct" not in word]
    inside = [ROOT, page.parent]
    missing = [path for path in paths if not any((folder / path).exists() for folder in inside)]
    assert missing == []


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "serve", "test"} <= targets
    for target in sorted(targets):
        run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"make {target}: {run.stderr}"


def test_each_pipeline_has_a_row_and_only_served_ones_are_called_served() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| (\S+) \|$", README, re.MULTILINE)
    assert {name for name, state in rows if state == "**served**"} == {spec.name for spec in PIPELINES}
    assert {state for _, state in rows} <= {"**served**", "planned"}


def test_the_checkpoint_layout_is_the_one_the_export_reads() -> None:
    """By text: importing the export would bring torch into the unit tests."""
    source = (ROOT / "export/src/radserve_export/pipelines/spine.py").read_text()
    files = re.findall(r"^  (.+/(?:model_best\.pth|best\.pt))$", README, re.MULTILINE)
    assert len(files) == 4
    for file in files:
        for part in file.split("/"):
            assert f'"{part}"' in source


def test_the_python_versions_are_those_of_the_packages() -> None:
    workspace = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11,<3.14"' in workspace
    assert "Python 3.11 to 3.13" in README


def test_research_use_is_said_before_the_first_command() -> None:
    assert README.index("Research use only") < README.index("make demo")


def test_the_pictures_are_small() -> None:
    pictures = sorted((ROOT / "docs/images").glob("*.png"))
    assert [picture.name for picture in pictures] == PICTURES
    assert all(f"](docs/images/{name})" in README for name in PICTURES)
    for picture in pictures:
        assert picture.stat().st_size < LARGEST_PICTURE_BYTES


def test_the_phantoms_picture_shows_todays_phantoms(tmp_path: Path) -> None:
    write(film_pair(HEIGHT_PX), tmp_path / "phantoms.png")
    with Image.open(tmp_path / "phantoms.png") as now, Image.open(ROOT / "docs/images/phantoms.png") as shown:
        np.testing.assert_array_equal(np.asarray(now), np.asarray(shown))


def test_every_pipeline_has_a_picture_of_its_demo() -> None:
    drawn = {name: studies.phantoms for name, studies in STUDIES.items()}
    for name, phantoms in drawn.items():
        picture = OVERLAYS["overlay.png" if name == "spine" else f"{name}.png"]
        assert picture.removesuffix(".overlay.png") in {Path(phantom).stem for phantom in phantoms}


def test_every_requirement_file_is_explained() -> None:
    listed = set(re.findall(r"^\| `([\w.-]+\.txt)` \|", (ROOT / "requirements/README.md").read_text(), re.MULTILINE))
    assert listed == {path.name for path in (ROOT / "requirements").glob("*.txt")}


def test_the_client_readme_lists_every_exit_code() -> None:
    text = (ROOT / "client/README.md").read_text()
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert listed == {code.value for code in ExitCode}


def test_the_client_readme_lists_every_option() -> None:
    text = (ROOT / "client/README.md").read_text()
    usage = "\n".join(text.split("```")[1::2])
    commands = typer.main.get_command(app).commands
    assert {"predict", "convert", "pipelines", "score", "evaluate"} == set(commands)
    options = {
        f"{name} {option}"
        for name, sub in commands.items()
        for parameter in sub.params
        for option in parameter.opts
        if option.startswith("--") and option != "--help" and option not in _usage(usage, name)
    }
    assert options == set()


def _usage(text: str, command: str) -> str:
    """What the usage lines say of a command, with the lines that go on."""
    return "".join(re.findall(rf"^radserve {command} .*(?:\n +.*)*", text, re.MULTILINE))
