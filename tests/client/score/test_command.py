"""The command line of ``radserve score``: what it refuses, with which words and which exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from radserve_client.outcome import ExitCode
from radserve_client.score import errors, extras, run, via_service
from radserve_client.score.options import Detect, Grouping, Store, bytes_of
from radserve_devstack.stack import own_environment
from radserve_preproc.detect import Detect as ServiceDetect
from tests.client.fake_service import FakeService
from tests.client.score.fake_archive import Service, archive_service, make_films, rows, score

WITHOUT_EXTRAS = """
import sys
for name in {names}:
    sys.modules[name] = None
from radserve_client.cli import app
app()
"""


@pytest.fixture
def served() -> Iterator[tuple[Service, FakeService]]:
    with archive_service() as pair:
        yield pair


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return make_films(tmp_path / "films", 3)


def without_extras(url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command where no optional package can be imported."""
    names = [name for packages in extras.PACKAGES.values() for name in packages] + ["pydicom"]
    script = WITHOUT_EXTRAS.format(names=names)
    environ = own_environment() | {"RADSERVE_CLIENT_URL": url}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


def test_without_the_extra_score_says_what_to_install_and_asks_nothing(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    done = without_extras(served[1].url, "score", films, "--pipeline", "spine", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "pip install 'radserve-client[batch]'" in done.stderr
    assert "pyarrow" in done.stderr
    assert "Traceback" not in done.stderr
    assert served[1].asked == []
    assert not (tmp_path / "out").exists()


def test_without_the_extras_predict_works(served: tuple[Service, FakeService], films: Path) -> None:
    done = without_extras(served[1].url, "predict", films)
    assert done.returncode == 0, done.stderr
    assert len(served[0].scored) == 3


@pytest.mark.parametrize("extra", sorted(extras.PACKAGES))
def test_what_an_extra_brings_is_what_is_looked_for(extra: str, project_root: Path) -> None:
    import tomllib

    project = tomllib.loads((project_root / "client" / "pyproject.toml").read_text())["project"]
    brought = {name.partition("[")[0] for name in project["optional-dependencies"][extra]} - {"radserve-client"}
    assert {name.replace("_", "-") for name in extras.PACKAGES[extra]} == brought


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--engine", "ray"], "--via triton"),
        (["--triton", "127.0.0.1:8001"], "--via triton"),
        (["--workers", "2"], "--via triton"),
        (["--ray-address", "auto"], "--engine ray"),
        (["--via", "triton", "--url", "http://127.0.0.1:1"], "--triton HOST:PORT"),
        (["--in-flight-bytes", "much"], "is no size"),
        (["--in-flight-bytes", "0"], "is no size"),
        (["--window", "0"], "--window"),
        (["--patience", "-1"], "--patience"),
        (["--metrics-port", "70000"], "--metrics-port"),
        (["--url", "nowhere"], "nowhere"),
        (["--profile", "no_such"], "no profile no_such"),
        (["--mask"], "marks no pixels"),
        (["--group-by", "series"], "--group-by series"),
        (["--hash-ids", "/no/such/key"], "/no/such/key"),
        (["--detect", "sometimes"], "--detect"),
    ],
)
def test_wrong_use_is_2_says_why_and_scores_nothing(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    result = score(served[1].url, films, tmp_path / "out", *options)
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert served[0].scored == []


@pytest.mark.parametrize("missing", ["--pipeline", "--out"])
def test_pipeline_and_output_must_be_named(films: Path, missing: str) -> None:
    given = {"--pipeline": "spine", "--out": "x"}
    options = [word for name, value in given.items() if name != missing for word in (name, value)]
    command: list[str | Path] = [Path(sys.executable).with_name("radserve"), "score", films, *options]
    done = subprocess.run(command, env=own_environment(), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, missing in done.stderr) == (2, True)


def test_an_empty_folder_is_2_and_named(served: tuple[Service, FakeService], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = score(served[1].url, tmp_path / "empty", tmp_path / "out")
    assert result.exit_code == 2
    assert "nothing to score" in result.stderr


def test_a_source_that_is_not_there_is_2(served: tuple[Service, FakeService], tmp_path: Path) -> None:
    result = score(served[1].url, tmp_path / "gone", tmp_path / "out")
    assert result.exit_code == 2
    assert "gone" in result.stderr


def test_results_inside_the_source_are_refused(
    served: tuple[Service, FakeService], films: Path, tmp_path: Path
) -> None:
    result = score(served[1].url, films, films / "scores")
    assert result.exit_code == 2
    assert "inside the source" in result.stderr
    assert not (films / "scores").exists()


def test_an_output_that_cannot_be_written_is_1_and_named(served: tuple[Service, FakeService], read_only: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is for its owner's eyes only
        readable = Path(folder)
        os.chmod(readable, 0o755)
        (readable / "film.dcm").write_text("spine")
        assert {run, via_service}, "imported while we may read them"
        result = score(served[1].url, readable, read_only / "out")
    assert result.exit_code == 1, result.output
    assert str(read_only / "out") in result.stderr.replace("\n", "")


def test_a_misspelt_setting_is_2(served: tuple[Service, FakeService], films: Path, tmp_path: Path) -> None:
    os.environ["RADSERVE_CLIENT_CONCURENCY"] = "3"
    try:
        assert score(served[1].url, films, tmp_path / "out").exit_code == 2
    finally:
        del os.environ["RADSERVE_CLIENT_CONCURENCY"]


def test_hashed_ids_leave_no_path_anywhere(served: tuple[Service, FakeService], films: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    out = tmp_path / "out"
    assert score(served[1].url, films, out, "--hash-ids", str(key)).exit_code == 0
    assert len(rows(out)) == 3
    for path in out.rglob("*"):
        if path.is_file():
            assert str(films).encode() not in path.read_bytes(), path


def test_a_log_that_nobody_reads_any_more_changes_nothing(served: tuple[Service, FakeService], tmp_path: Path) -> None:
    films = make_films(tmp_path / "films", 10)
    reader, writer = os.pipe()
    os.close(reader)  # as of `radserve score ... 2>&1 | head -1`
    command: list[str | Path] = [Path(sys.executable).with_name("radserve"), "score", films, "--pipeline", "spine"]
    command += ["--out", tmp_path / "out", "--url", served[1].url, "--metrics-port", "0"]
    done = subprocess.run(command, env=own_environment(), stderr=writer, timeout=120, check=False)
    again = subprocess.run([*command, "--pipeline", "none"], env=own_environment(), stderr=writer, check=False)
    os.close(writer)
    assert done.returncode == 3
    assert len(rows(tmp_path / "out")) == 10
    assert again.returncode == 2


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, time
            from radserve_client.score.interrupts import Interrupted, Interrupts
            with Interrupts() as interrupts:
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(600)
                except Interrupted:
                    print("first", flush=True)
                with interrupts.shield():
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(600)
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (130, "first\n")


def test_a_row_is_finished_before_ctrl_c_is_heard() -> None:
    from radserve_client.score.interrupts import Interrupted, Interrupts

    before = signal.getsignal(signal.SIGINT)
    finished = []

    def write_a_row(interrupts: Interrupts) -> None:
        with interrupts.shield():
            os.kill(os.getpid(), signal.SIGINT)
            finished.append("row")
        finished.append("never")

    with Interrupts() as interrupts:
        with pytest.raises(Interrupted):
            write_a_row(interrupts)
        with interrupts.shield():
            finished.append("what is done is sealed")
    assert finished == ["row", "what is done is sealed"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("512M", 512 * 1024**2), ("2GiB", 2 * 1024**3), ("64 kB", 65536), ("1T", 1024**4)]
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert bytes_of(text) == size


def test_words_are_those_of_the_service_the_sources_and_the_store() -> None:
    from radserve_client.score.artifacts import ArtifactKind
    from radserve_client.score.sources import GroupBy

    assert [word.value for word in Detect] == [word.value for word in ServiceDetect]
    assert [word.value for word in Grouping] == [word.value for word in GroupBy]
    assert [word.value for word in Store] == [word.value for word in ArtifactKind]


def test_every_exit_code_and_option_is_in_the_docs(project_root: Path) -> None:
    page = (project_root / "docs" / "score.md").read_text()
    for code in ExitCode:
        assert f"| {code.value} |" in page
    for name in options_of_score():
        assert f"`{name}" in page, f"{name} is not in docs/score.md"
    assert issubclass(errors.RunError, Exception)


def options_of_score() -> list[str]:
    """Every long option of the command."""
    import typer

    from radserve_client.cli import app

    command = typer.main.get_command(app).commands["score"]  # type: ignore[attr-defined]
    return [max(option.opts, key=len) for option in command.params if option.param_type_name == "option"]
