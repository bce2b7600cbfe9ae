"""``python -m radserve_triton.verify``: what runs in the production image before Triton starts."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radserve_triton import errors, repository, verify
from radserve_triton.cli import app
from tests.triton_server.repositories import write_manifest


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A repository of two models; ``a`` has the variant ``fast``."""
    folder = tmp_path / "served"
    for name in ("a/config.pbtxt", "a/1/model.onnx", "a/configs/fast.pbtxt", "b/config.pbtxt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return write_manifest(folder)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_a_whole_repository_passes_and_is_named(served: Path, capsys: pytest.CaptureFixture[str]):
    wanted = [f"--manifest-sha256={digest(served)}", "--variant=fast", "--model=a", "--model=b"]

    assert verify.main([str(served), *wanted]) == 0
    assert "models a, b" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (lambda folder: (folder / "a/1/model.onnx").write_text("other"), [], "was changed after it was published"),
        (lambda folder: (folder / "b/config.pbtxt").unlink(), [], "is missing"),
        (lambda folder: (folder / "c").write_text("new"), [], "was added"),
        (lambda folder: (folder / "manifest.json").unlink(), [], "nothing shows that the repository is whole"),
        (lambda folder: shutil.rmtree(folder), [], "is no folder"),
        (lambda folder: None, [f"--manifest-sha256={'0' * 64}"], "this is another release"),
        (lambda folder: None, ["--variant=slow"], "configs/slow.pbtxt"),
        (lambda folder: None, ["--model=a", "--model=c", "--model=d"], "has no c, d, which the pipelines need"),
    ],
)
def test_anything_else_does_not(served: Path, capsys: pytest.CaptureFixture[str], change, arguments, said):
    change(served)

    assert verify.main([str(served), *arguments]) == 1
    error = capsys.readouterr().err
    assert error.startswith("repository_invalid: ")
    assert said in error


def test_it_runs_as_the_image_has_it_with_the_standard_library_alone(served: Path, tmp_path: Path):
    """The Dockerfile copies four files; no package of ours or anybody's is installed beside them."""
    package = tmp_path / "lib" / "radserve_triton"
    package.mkdir(parents=True)
    for module in (errors, repository, verify):
        shutil.copy(module.__file__, package)
    shutil.copy(Path(verify.__file__).with_name("__init__.py"), package)
    command = [sys.executable, "-S", "-m", "radserve_triton.verify", served, "--model=a"]

    run = subprocess.run(
        command, env={"PYTHONPATH": str(package.parent)}, cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert "as its manifest.json says" in run.stdout


def test_the_launcher_has_it_as_a_command(served: Path):
    runner = CliRunner()

    assert runner.invoke(app, ["verify", str(served), "--model", "a"]).exit_code == 0
    (served / "c").write_text("new")
    result = runner.invoke(app, ["verify", str(served)])
    assert result.exit_code == 1
    assert "was added after it was published" in result.output
