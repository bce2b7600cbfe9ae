"""The command radserve-export: usage, messages, exit codes."""

from __future__ import annotations

import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from radserve_contract.pipelines import PIPELINES
from radserve_export import cli, pipelines
from radserve_export.cli import app
from radserve_export.pipelines import spine
from radserve_export.simple_cnn import SCRIPT
from tests.export import small_slices
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
    return small_slices.add_source(write_source(tmp_path / "source"))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two tiny pipelines those that the command knows."""
    monkeypatch.setattr(cli, "PIPELINES", (SMALL, small_slices.SLICES))
    monkeypatch.setattr(cli, "pipeline", {spec.name: spec for spec in cli.PIPELINES}.__getitem__)
    monkeypatch.setitem(pipelines.EXPORTS, SMALL.name, EXPORT)
    monkeypatch.setitem(pipelines.EXPORTS, small_slices.SLICES.name, small_slices.EXPORT)


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
        (["spine", "--untrained", "--profile", "lungs:deployed"], "'lungs' is not exported; these are: spine"),
        (["spine", "spine", "--untrained"], "'spine' is given twice"),
        (["spine", "all", "--untrained"], "all means every pipeline; give it alone"),
        (["spine", "lungs", "--untrained"], "no pipeline 'lungs'; there is: spine"),
        (["--untrained"], "Missing argument 'PIPELINE...'"),
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


@pytest.mark.usefixtures("small")
def test_a_full_disk_is_one_plain_message_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # bytes, less than a graph has
    try:
        code, out, err = run("small", "--untrained", "--source", source, "--repository", tmp_path / "repository")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, out) == (1, "")
    assert "torch2onnx failed (PUBLISH)" in err
    assert "File too large; it is unchanged" in err
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("source", ".repository.lock")] == []


@pytest.mark.usefixtures("small")
def test_a_folder_with_brackets_in_its_name_is_printed_as_it_is(source: Path, tmp_path: Path) -> None:
    repository = tmp_path / "spine [v2]" / "[" / "x]"  # rich takes brackets for markup, "[/x]" for its end
    code, out, err = run("small", "--untrained", "--source", source, "--repository", repository)
    assert code == 0, err
    assert f"{repository}: small (deployed)" in out


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("names", [["small", "small_slices"], ["all"]])
def test_several_pipelines_make_one_repository(names: list[str], source: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    code, out, err = run(*names, "--untrained", "--source", source, "--repository", repository)
    assert code == 0, err
    assert f"{repository}: small (deployed), small_slices (deployed), weights UNTRAINED" in out
    assert {path.parent.name for path in repository.glob("*/config.pbtxt")} == {
        model.name for model in (*PROFILE.models, small_slices.NETWORK)
    }


@pytest.mark.usefixtures("small")
def test_a_profile_of_several_pipelines_needs_its_pipelines_name(source: Path, tmp_path: Path) -> None:
    words = ["small", "small_slices", "--untrained", "--source", source, "--repository", tmp_path / "repository"]
    code, _, err = run(*words, "--profile", "deployed")
    assert (code, (tmp_path / "repository").exists()) == (2, False)
    assert "Give PIPELINE:PROFILE, such as small:deployed" in err
    code, _, err = run(*words, "--profile", "small_slices:best")
    assert code == 2
    assert "small_slices has no profile 'best'; it has: deployed" in err
    assert run(*words, "--profile", "small_slices:deployed")[0] == 0


@pytest.mark.usefixtures("small")
def test_each_of_several_pipelines_reads_the_folder_of_its_name(source: Path, tmp_path: Path) -> None:
    weights = tmp_path / "my weights"
    (weights / "small_slices").mkdir(parents=True)
    words = ["--checkpoints", weights, "--source", source, "--repository", tmp_path / "repository"]
    code, out, err = run("all", *words)
    assert (code, out) == (1, "")
    wanted = [weights / "small" / "ensemble output", weights / "small_slices" / "best_model.pth"]
    assert all(str(path) in err for path in wanted)
    repeat = shlex.split(err.split("to repeat: ")[1])
    assert repeat[:3] == ["radserve-export", "small", "small_slices"]
    assert run(*repeat[1:]) == (code, out, err)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("folder", ["", "small_slices"])
def test_a_single_pipelines_checkpoints_may_lie_with_or_without_its_folder(
    folder: str, source: Path, tmp_path: Path
) -> None:
    weights = small_slices.weights(small_slices.NETWORK, SCRIPT)
    (tmp_path / "weights" / folder).mkdir(parents=True)
    torch.save(weights, tmp_path / "weights" / folder / "final_model.pth")
    words = ["--checkpoints", tmp_path / "weights", "--source", source, "--repository", tmp_path / "repository"]
    code, _, err = run("small_slices", *words)
    assert code == 0, err
    papers = json.loads((tmp_path / "repository" / "small_slices" / "1" / "provenance.json").read_text())
    assert papers["checkpoint"]["checkpoint"] == "final_model.pth"


def test_every_pipeline_of_the_contract_can_be_exported() -> None:
    assert [name for name in pipelines.EXPORTS if name in {spec.name for spec in PIPELINES}] == [
        spec.name for spec in PIPELINES
    ]
    assert spine.SPEC in PIPELINES
    assert PROFILE.name in {profile.name for profile in spine.SPEC.profiles}
