"""The command radserve-export: usage, messages, exit codes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radserve_contract.pipelines import PIPELINES
from radserve_export import cli, pipelines
from radserve_export.cli import app
from radserve_export.pipelines import spine
from tests.export.small_pipeline import EXPORT, PROFILE, SMALL, write_source

RUNNER = CliRunner()


def run(*words: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output, standard error (without the line breaks a narrow terminal adds)."""
    result = RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "300", "TERM": "dumb", "NO_COLOR": "1"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tiny pipeline one that the command knows."""
    monkeypatch.setattr(cli, "pipeline", {SMALL.name: SMALL}.__getitem__)
    monkeypatch.setitem(pipelines.EXPORTS, SMALL.name, EXPORT)


def test_help_names_every_pipeline_and_needs_no_torch() -> None:
    code = (
        "import sys, radserve_export.cli as c; c.app(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(spec.name in done.stdout for spec in PIPELINES)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["lungs", "--untrained"], "no pipeline 'lungs'; there is: spine"),
        (["spine"], "give either --checkpoints DIR or --untrained"),
        (["spine", "--untrained", "--checkpoints", "."], "give either --checkpoints DIR or --untrained"),
        (["spine", "--checkpoints", "no_such_folder"], "'no_such_folder' does not exist"),
        (["spine", "--untrained", "--profile", "best"], "no profile 'best'; it has: deployed, published"),
        (["spine", "--untrained", "--profile", "deployed", "--profile", "deployed"], "'deployed' is given twice"),
        (["spine", "--untrained", "--source", "no_such_folder"], "'no_such_folder' does not exist"),
        (["spine", "--untrained", "--format", "tensorrt"], "'tensorrt' is not one of"),
        (["spine", "--untrained", "--precision", "fp16"], "No such option"),
        (["spine", "--untrained", "--source", ".", "--repository", "."], "overlap"),
        (["spine", "--untrained", "--source", ".", "--repository", "inside"], "overlap"),
    ],
)
def test_what_does_not_fit_is_refused_as_wrong_usage(words: list[str], reason: str, tmp_path: Path) -> None:
    code, out, err = run(*words, *([] if "--repository" in words else ["--repository", tmp_path / "repository"]))
    assert code == 2
    assert reason in err
    assert out == ""
    assert not (tmp_path / "repository").exists()


@pytest.mark.usefixtures("small")
def test_a_finished_export_ends_with_a_table_and_where_it_is(source: Path, tmp_path: Path) -> None:
    code, out, err = run("small", "--untrained", "--source", source, "--repository", tmp_path / "repository")
    assert code == 0, err
    assert (tmp_path / "repository" / "manifest.json").is_file()
    for model in ("small_one", "small_two", "small_fusion"):
        assert model in out
    assert "batch 4: " in out
    assert f"{tmp_path / 'repository'}: small (deployed), weights UNTRAINED" in out
    for step in ("fetch", "build", "torch2onnx", "verify", "publish"):
        assert f"{step}: small_one" in err


@pytest.mark.usefixtures("small")
def test_a_failed_step_is_named_with_the_command_that_repeats_it(source: Path, tmp_path: Path) -> None:
    empty, repository = tmp_path / "my weights", tmp_path / "repository"
    empty.mkdir()
    words = ["small", "--checkpoints", empty, "--source", source, "--repository", repository, "--format", "torchscript"]
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert "fetch failed (CHECKPOINT_MISSING): not found: " in err
    assert "Traceback" not in err
    repeat = shlex.split(err.split("to repeat: ")[1])
    assert repeat[0] == "radserve-export"
    assert run(*repeat[1:]) == (code, out, err)


@pytest.mark.usefixtures("small")
def test_a_busy_repository_fails_before_the_work(source: Path, tmp_path: Path) -> None:
    from radserve_export.staging import staging_folder

    with staging_folder(tmp_path / "repository"):
        code, _, err = run("small", "--untrained", "--source", source, "--repository", tmp_path / "repository")
    assert code == 1
    assert "preparing failed (REPOSITORY_BUSY)" in err


@pytest.mark.usefixtures("small")
def test_an_interrupted_export_ends_with_130_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EXPORT, "build", interrupt)
    code, _, err = run("small", "--untrained", "--source", source, "--repository", tmp_path / "repository")
    assert code == 130
    assert "interrupted in build" in err
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("source", ".repository.lock")] == []


def test_every_pipeline_of_the_contract_can_be_exported() -> None:
    assert [*pipelines.EXPORTS] == [spec.name for spec in PIPELINES]
    assert spine.SPEC in PIPELINES
    assert PROFILE.name in {profile.name for profile in spine.SPEC.profiles}
