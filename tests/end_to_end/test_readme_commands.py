"""The README's commands, run as they stand there, against `radserve-serve` (what `make serve` runs)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.served_repository import ROOT

BIN = Path(sys.executable).parent
MARK = "<!-- tested: tests/end_to_end/test_readme_commands.py -->\n```bash\n"
CT_MARK = MARK.replace("tested:", "tested with the CT pipelines:")
WRITTEN_URL = "http://127.0.0.1:8080"
START_TIMEOUT_S = 300


@dataclass(frozen=True)
class Serving:
    """A running `radserve-serve` in a folder of its own."""

    url: str
    folder: Path
    process: subprocess.Popen[str]

    def bash(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the README here: another port, this environment's commands, and curl fails on a 4xx."""
        script = line.replace(WRITTEN_URL, self.url).replace(".venv/bin/", f"{BIN}/")
        script = f'curl() {{ command curl --fail --silent --show-error "$@"; }}\n{script}'
        environ = {name: value for name, value in os.environ.items() if not name.startswith("RADSERVE_")}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=environ | {"RADSERVE_CLIENT_URL": self.url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
        )


def blocks(mark: str) -> list[list[str]]:
    """The lines of each block so marked."""
    return [block.partition("```")[0].splitlines() for block in (ROOT / "README.md").read_text().split(mark)[1:]]


LINES, CT_LINES = ([line for block in blocks(mark) for line in block] for mark in (MARK, CT_MARK))


@pytest.fixture(scope="module")
def serving(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Both servers, by the command that `make serve` runs, on free ports."""
    with _serving(served_repository, tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture(scope="module")
def ct_serving(ct_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """The same with the CT pipelines."""
    with _serving(ct_repository, tmp_path_factory.mktemp("serve-ct")) as running:
        yield running


@contextmanager
def _serving(repository: Path, folder: Path) -> Iterator[Serving]:
    ports = [option for name in ("", "grpc-", "http-", "metrics-") for option in (f"--{name}port", "0")]
    command = [BIN / "radserve-serve", "--repository", repository, *ports]
    with (folder / "stderr").open("w") as stderr:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        yield Serving(_url(process, folder), folder, process)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
        process.stdout.close()


def _url(process: subprocess.Popen[str], folder: Path) -> str:
    for line in process.stdout:
        if found := re.search(r"service +(http://\S+)", line):
            return found[1]
    raise AssertionError(f"radserve-serve ended: {(folder / 'stderr').read_text()}")


def test_the_readme_has_marked_commands() -> None:
    assert len(blocks(MARK)) == 2
    assert len(LINES) >= 9
    assert len(CT_LINES) >= 3


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_works(serving: Serving, line: str) -> None:
    if line.startswith("curl") and not shutil.which("curl"):
        pytest.skip("no curl on this machine: apt-get install curl")
    result = serving.bash(line)
    assert result.returncode == 0, result.stderr
    _check(line, result.stdout, serving.folder)


@pytest.mark.parametrize("line", CT_LINES)
def test_a_ct_command_of_the_readme_works_and_writes_what_it_names(ct_serving: Serving, line: str) -> None:
    result = ct_serving.bash(line)
    assert result.returncode == 0, result.stderr
    written = {path.relative_to(ct_serving.folder).as_posix() for path in ct_serving.folder.glob("[!d]*/*")}
    written |= {path.name for path in ct_serving.folder.iterdir()}
    if "--overlay" in line:
        assert "overlays/head-lesion.overlay.png" in written
    elif "--mask" in line:
        assert "masks/chest-quiet.nii.mask.nii.gz" in written
    else:
        assert {"head.nii.gz", "head.json"} <= written


def _check(line: str, stdout: str, folder: Path) -> None:
    """What the README promises of the line."""
    if "radserve score" in line:
        run = json.loads((folder / "scores" / "run.json").read_text())
        assert (run["rows"]["ok"], run["rows"]["failed"]) == (2, 0)
    elif "image/png" in line:
        with Image.open(folder / "overlay.png") as overlay:
            overlay.load()
    elif "--overlay" in line:
        names = sorted(path.name for path in (folder / "overlays").iterdir())
        assert names == ["spine-abnormal.overlay.png", "spine-normal.overlay.png"]
        assert "UNTRAINED" in stdout
    elif "--json" in line:
        assert json.loads((folder / "findings.jsonl").read_text())["findings"]["decision"]["label"] == "abnormal"
    elif "/predict" in line:
        assert json.loads(stdout)["decision"]["label"] == "abnormal"
    elif "metrics" in line:
        assert "radserve_requests_total" in stdout
    else:
        assert "spine" in stdout


def test_ctrl_c_stops_both_servers_cleanly(serving: Serving) -> None:
    """Runs last in this file: the fixture's own stop finds nothing left to do."""
    children = Path(f"/proc/{serving.process.pid}/task/{serving.process.pid}/children").read_text().split()
    assert len(children) == 2
    serving.process.send_signal(signal.SIGINT)
    assert serving.process.wait(120) == 0
    assert "both servers have stopped" in (serving.folder / "stderr").read_text()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    port = int(serving.url.rpartition(":")[2])
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", port)) != 0
