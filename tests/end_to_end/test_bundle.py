"""The bundle for sites without internet, made by the command of ``make bundle``, then used as its INSTALL.md says.

Its wheels are downloaded once, into ``${XDG_CACHE_HOME:-~/.cache}/radserve/wheels``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import helm_python as helm
import pytest
import yaml

from tests import debian
from tests.end_to_end.no_network import shut_off, why_not
from tests.served_repository import ROOT

WANTED = os.environ.pop("RADSERVE_TEST_BUNDLE", None)
INSTALL_TIMEOUT_S = 600
SOURCE_DATE = "1763683200"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "radserve" / "wheels"


@pytest.fixture(scope="module")
def bundle(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that ``tar -xf`` makes of a bundle of the served repository."""
    if not WANTED:
        pytest.skip("downloads 0.4 GB once and takes minutes: `make test-bundle` runs it")
    folder = tmp_path_factory.mktemp("bundle")
    command = [sys.executable, "-m", "bundle", "--repository", served_repository, "--output", folder, "--cache", CACHE]
    environ = os.environ | {"SOURCE_DATE_EPOCH": SOURCE_DATE}
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    if "could not be downloaded" in run.stderr:
        _lacking(f"the wheels of the bundle are neither in {CACHE} nor to be had: {run.stderr[-300:]}")
    assert run.returncode == 0, run.stderr
    (archive,) = folder.glob("*.tar")
    subprocess.run(["sha256sum", "--check", "--quiet", f"{archive.name}.sha256"], cwd=folder, check=True)
    subprocess.run(["tar", "-xf", archive.name], cwd=folder, check=True)
    archive.unlink()
    yield folder / archive.stem
    shutil.rmtree(folder)  # 2 GB with what was installed


def _lacking(what: str) -> None:
    """Skip, or fail where nothing may be lacking (tests/debian.py)."""
    pytest.fail(what) if debian.REQUIRED else pytest.skip(what)


def block(bundle: Path, name: str) -> str:
    """The commands of INSTALL.md that are marked with that name."""
    (found,) = re.findall(rf"<!-- tested: {name} -->\n```\w+\n(.*?)```", (bundle / "INSTALL.md").read_text(), re.DOTALL)
    return found


def check(bundle: Path) -> subprocess.CompletedProcess[str]:
    """INSTALL.md's own check of what arrived."""
    return subprocess.run(["bash", "-c", block(bundle, "check")], cwd=bundle, capture_output=True, text=True)


def test_every_file_is_as_its_checksum_says_and_none_lacks_one(bundle: Path) -> None:
    run = check(bundle)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    summed = {line.split("  ", 1)[1] for line in (bundle / "SHA256SUMS").read_text().splitlines()}
    present = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert present - {"SHA256SUMS"} == summed
    assert {"sbom.cdx.json", "images.txt", "repository/manifest.json", "monitoring/prometheus.yml"} <= summed


def test_each_changed_bit_is_found_and_named(bundle: Path) -> None:
    patterns = ("chart/*.tgz", "repository/*/1/model.onnx", "wheels/radserve_preproc-*.whl")
    changed = [sorted(bundle.glob(pattern))[0] for pattern in patterns]
    for path in changed:
        _flip_a_bit(path)
    run = check(bundle)
    for path in changed:
        _flip_a_bit(path)
    assert run.returncode != 0
    assert run.stdout.splitlines() == [f"{path.relative_to(bundle)}: FAILED" for path in changed]


def _flip_a_bit(path: Path) -> None:
    """Of the hundredth byte; a second time it is as before."""
    with path.open("r+b") as file:
        file.seek(99)
        (byte,) = file.read(1)
        file.seek(99)
        file.write(bytes([byte ^ 1]))


def test_the_chart_in_it_renders_each_way_with_images_of_the_list(bundle: Path) -> None:
    pushed = {f"registry.example.org/{image.removeprefix('docker.io/')}" for image in _images(bundle)}
    ways = sorted((bundle / "chart" / "ways").glob("*-values.yaml"))
    assert len(ways) > 10
    (site,) = re.findall(r"```yaml\n(.*?)```", (bundle / "INSTALL.md").read_text(), re.DOTALL)
    (archive,) = (bundle / "chart").glob("*.tgz")
    with helm.Chart.load_archive(archive.read_bytes()) as chart:
        for way in ways:
            assert "kind: Deployment" in "".join(chart.render(helm.values_from_yaml(way.read_text())).values())
        texts = chart.render(helm.values_from_yaml(site), name="radserve", namespace="imaging")
    images = set(re.findall(r"^ *-? *image: \"?([^\s\"]+)\"?$", "\n".join(texts.values()), re.MULTILINE))
    assert len(images) == 3
    assert images <= pushed


def test_the_plain_manifests_name_images_of_the_list(bundle: Path) -> None:
    for path in (bundle / "manifests").glob("*.yaml"):
        objects = list(yaml.safe_load_all(path.read_text()))
        images = set(re.findall(r"'image': '([^']+)'", str(objects)))
        assert images
        assert images <= _images(bundle)


def test_it_is_marked_as_untrained(bundle: Path) -> None:
    assert bundle.name.endswith("-UNTRAINED")
    assert "UNTRAINED" in (bundle / "INSTALL.md").read_text().partition("## 1.")[0]


def test_it_installs_and_scores_on_a_machine_without_any_network(bundle: Path, tmp_path: Path) -> None:
    """As INSTALL.md says, with an empty home folder and no variable of this machine's but where Python is."""
    if reason := why_not():
        _lacking(reason)
    tried = "pip_install .venv --dry-run --requirement requirements/client-extras.txt"
    assert tried.replace(" --dry-run", "") == block(bundle, "extras").strip()
    script = "\n".join((block(bundle, "install"), tried, block(bundle, "prove")))
    (home := tmp_path / "home").mkdir()
    environ = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin",
        "PIP_CONFIG_FILE": os.devnull,  # a system's own may name more folders to look into
    }
    ran = shut_off(
        ["bash", "-euo", "pipefail", "-c", script],
        folder=bundle,
        environ=environ,
        report=tmp_path / "attempts.json",
        timeout_s=INSTALL_TIMEOUT_S,
    )
    assert ran.status == 0, ran.output[-6000:]
    proof = bundle / "proof" / "spine"
    answers = {path.stem: json.loads(path.read_text()) for path in proof.glob("*.json")}
    decisions = {name: answer["findings"]["decision"]["positive"] for name, answer in answers.items()}
    assert decisions == {"spine-normal": False, "spine-abnormal": True}
    assert (bundle / ".venv").joinpath("bin", "radserve-service").read_text().startswith(f"#!{bundle}")
    if not ran.attempts:
        pytest.skip("installed and scored; but this kernel counts no packet without a route, so no attempt would show")
    assert set(ran.attempts.values()) == {0}, f"{ran.attempts}: something tried to leave this machine\n{ran.output}"


def test_an_attempt_to_leave_shows(tmp_path: Path) -> None:
    if reason := why_not():
        _lacking(reason)
    look_up = "import socket\ntry: socket.create_connection(('192.0.2.7', 80))\nexcept OSError as error: print(error)"
    report = tmp_path / "attempts.json"
    ran = shut_off([sys.executable, "-c", look_up], folder=tmp_path, environ={}, report=report, timeout_s=60)
    assert (ran.status, "unreachable" in ran.output) == (0, True)
    if not ran.attempts:
        pytest.skip("this kernel counts no packet without a route")
    assert ran.attempts["IpOutNoRoutes"] == 1


def _images(bundle: Path) -> set[str]:
    """What is brought into the site's registry."""
    rows = [line.split() for line in (bundle / "images.txt").read_text().splitlines() if not line.startswith("#")]
    assert {comes_by for _, comes_by, _ in rows} == {"build", "pull", "base"}
    return {image for image, comes_by, _ in rows if comes_by != "base"}
