"""radserve-demo and radserve-serve where no server is needed: when they cannot begin, and what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from radserve_client.errors import UnreadableFile
from radserve_client.outcome import Outcome
from radserve_client.studies import Study
from radserve_devstack.demo_files import answer_path, plan, write_answer


def run(command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).with_name(command)), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("command", "option"), [("radserve-demo", "--output"), ("radserve-serve", "--films")])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, command: str, option: str) -> None:
    (tmp_path / "file").write_text("")
    result = run(command, option, tmp_path / "file" / "folder", "--repository", tmp_path)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert f"{command}: cannot make the folder {tmp_path / 'file' / 'folder'}: Not a directory" in result.stderr


@pytest.mark.parametrize("option", ["--port", "--grpc-port", "--http-port", "--metrics-port"])
def test_a_port_that_no_machine_has_is_a_usage_error(tmp_path: Path, option: str) -> None:
    result = run("radserve-serve", option, "65536", "--repository", tmp_path, "--films", tmp_path)
    assert result.returncode == 2
    assert option in result.stderr


def test_an_answer_about_a_file_whose_name_is_no_text_is_written(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.dcm")
    (job,) = plan([Study(path, (path,))], tmp_path / "demo")
    write_answer(job, Outcome(path, error=UnreadableFile("gone")))
    assert json.loads(answer_path(job).read_text())["file"] == str(path)
