"""`radserve-demo` on the real networks (untrained) through the real Triton server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import SAMPLES
from tests.served_repository import ROOT

DEMO = Path(sys.executable).with_name("radserve-demo")
SAMPLE_DATA = Path(SAMPLES) if SAMPLES else ROOT.parent / "shared" / "data"


@dataclass(frozen=True)
class Run:
    output: Path
    stdout: str
    stderr: str
    exit_code: int

    def answer(self, name: str) -> dict:
        return json.loads((self.output / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def demo(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run without FILEs: phantoms, and the sample radiographs where they are."""
    folder = tmp_path_factory.mktemp("demo")
    options = ["--repository", served_repository, "--output", folder / "out", "--samples", SAMPLE_DATA]
    result = subprocess.run([DEMO, *options], cwd=folder, capture_output=True, text=True, timeout=600)
    return Run(folder / "out", result.stdout, result.stderr, result.returncode)


def test_it_ends_well_with_a_table_of_findings(demo: Run) -> None:
    assert demo.exit_code == 0, demo.stderr
    rows = {line.split()[0].rpartition("/")[2]: line for line in demo.stdout.splitlines() if "spine-" in line}
    assert " normal " in rows["spine-normal.dcm"]
    assert " abnormal " in rows["spine-abnormal.dcm"]


def test_a_ct_pipeline_is_shown_with_synthetic_series_and_volumes(ct_repository: Path, tmp_path: Path) -> None:
    options = ["--pipeline", "head_ct", "--repository", ct_repository, "--output", tmp_path / "out"]
    result = subprocess.run(
        [DEMO, *options, "--samples", SAMPLE_DATA], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr
    assert "UNTRAINED" in result.stdout
    for name in ("head-lesion", "head-quiet.nii"):
        answer = json.loads((tmp_path / "out" / f"{name}.json").read_text())
        assert len(answer["findings"]["labels"]) == 14
        with Image.open(tmp_path / "out" / f"{name}.overlay.png") as picture:
            assert picture.format == "PNG"


def test_a_pipeline_that_does_not_exist_is_wrong_usage(tmp_path: Path) -> None:
    result = subprocess.run([DEMO, "--pipeline", "knee"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert "knee" in result.stderr


def test_nobody_can_miss_that_it_is_untrained_and_for_research(demo: Run) -> None:
    assert demo.stdout.count("UNTRAINED") >= 3
    assert "research use only" in demo.stdout


def test_one_film_scores_normal_and_one_abnormal_with_boxes(demo: Run) -> None:
    normal = demo.answer("spine-normal")["findings"]
    abnormal = demo.answer("spine-abnormal")["findings"]
    assert normal["decision"]["label"] == "normal"
    assert normal["detections"]["ran"] is False
    assert abnormal["decision"]["label"] == "abnormal"
    assert abnormal["trained"] is False
    assert abnormal["image"]["body_part_examined"] == "LSPINE"
    assert abnormal["image"]["pixel_spacing_mm"] == [0.15, 0.15]
    boxes = abnormal["detections"]["boxes"]
    assert len(boxes) > 5
    assert len({box["label"] for box in boxes}) > 1
    assert all(0 <= box["x_min"] < box["x_max"] <= 2300 and 0 <= box["y_min"] < box["y_max"] <= 2800 for box in boxes)


@pytest.mark.parametrize("name", ["spine-normal", "spine-abnormal"])
def test_each_film_has_an_overlay(demo: Run, name: str) -> None:
    with Image.open(demo.output / f"{name}.overlay.png") as overlay:
        overlay.load()
        assert overlay.format == "PNG"
        assert min(overlay.size) > 300
    assert demo.answer(name)["overlay"] == str(demo.output / f"{name}.overlay.png")


def test_every_sample_radiograph_is_scored_or_refused_with_a_code(demo: Run) -> None:
    if not (SAMPLE_DATA / "radiographs").is_dir():
        pytest.skip(f"no sample files in {SAMPLE_DATA}")
    films = [path for path in (SAMPLE_DATA / "radiographs").iterdir() if path.is_file()]
    answers = [json.loads(path.read_text()) for path in sorted((demo.output / "samples/spine").glob("*.json"))]
    assert sorted(answer["file"] for answer in answers) == sorted(map(str, films))
    for answer in answers:
        assert "findings" in answer or 400 <= answer["error"]["http_status"] < 500, answer
    assert any("findings" in answer for answer in answers)
    assert any("error" in answer for answer in answers)


def test_ctrl_c_while_it_starts_stops_everything(served_repository: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [DEMO, "--repository", served_repository, "--output", tmp_path / "out", "--logs", tmp_path / "logs"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for(lambda: len(_children(process.pid)) == 2, process)
    children = _children(process.pid)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def _wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
