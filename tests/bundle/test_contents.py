"""What goes into a bundle: the chart as Helm packs it, the images it renders, the repository, the page."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import helm_python as helm
import pytest

from bundle import chart, images, install_page, served
from bundle.contents import REQUIREMENTS
from bundle.errors import BundleError
from tests.bundle.small import repository, seal

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "radserve"
TAG = {"repository": "radserve/repository", "tag": "0123456789ab"}


@pytest.fixture(scope="module")
def packed() -> tuple[str, bytes]:
    return chart.packed(CHART, 1_700_000_000)


def test_the_packed_chart_is_the_same_each_time_and_helm_reads_it(packed: tuple[str, bytes]) -> None:
    name, content = packed
    assert chart.packed(CHART, 1_700_000_000) == packed
    with helm.Chart.load_archive(content) as loaded:
        assert name == f"{loaded.name}-{loaded.version}.tgz"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {member.mtime for member in tar} == {1_700_000_000}


def test_what_is_no_chart_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no chart that Helm packs"):
        chart.packed(tmp_path, 0)


def test_the_images_are_those_of_the_chart_and_none_of_an_example_site(packed: tuple[str, bytes]) -> None:
    used = chart.images(packed[1], chart.ways_in(CHART / "ci"), TAG)
    listed = images.listed(used, ROOT)
    assert "example.org" not in images.page(listed)
    kinds = {image.reference.partition(":")[0]: image.comes_by for image in listed}
    assert {name for name, comes_by in kinds.items() if comes_by == "build"} == set(images.OURS)
    assert kinds["docker.io/rclone/rclone"] == "pull"
    assert used["radserve/repository:0123456789ab"] == ("mig", "oci")


def test_every_way_to_install_is_behind_some_image(packed: tuple[str, bytes]) -> None:
    ways = chart.ways_in(CHART / "ci")
    used = chart.images(packed[1], ways, TAG)
    assert {way for names in used.values() for way in names} == set(ways)


def test_a_dockerfile_builds_on_its_digest_where_it_has_one(tmp_path: Path) -> None:
    (file := tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE=busybox\nARG BASE_TAG=1.37.0\nARG BASE_DIGEST=\n")
    assert images.base(file) == "busybox:1.37.0"
    file.write_text(file.read_text().replace("DIGEST=", "DIGEST=sha256:12"))
    assert images.base(file) == "busybox@sha256:12"
    file.write_text("FROM busybox\n")
    with pytest.raises(BundleError, match=r"does not name one each of \*_IMAGE"):
        images.base(file)


@pytest.mark.parametrize(("trained", "weights"), [(False, "UNTRAINED"), (True, "trained")])
def test_a_repository_tells_its_networks_and_whether_they_are_trained(
    tmp_path: Path, trained: bool, weights: str
) -> None:
    found = served.read(repository(tmp_path / "repository", trained=trained))
    assert (found.trained, found.pipelines) == (trained, ("spine",))
    assert {(n.model, n.weights) for n in found.networks} == {("net", weights), ("fusion", "none")}
    assert len(found.release) == 12


def test_the_empty_folder_of_an_ensemble_goes_in_too(tmp_path: Path) -> None:
    """Triton: at least one version must be available."""
    entries = served.read(repository(tmp_path / "repository")).entries()
    assert [entry.path for entry in entries if entry.content is None] == ["repository/whole/1"]
    assert {"repository/manifest.json", "repository/net/1/model.onnx"} <= {entry.path for entry in entries}


def test_a_repository_that_differs_from_its_manifest_is_refused(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    (folder / "net" / "1" / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"net/1/model\.onnx was changed"):
        served.read(folder)


def test_a_repository_without_what_its_provenance_names_is_refused(tmp_path: Path) -> None:
    folder = repository(tmp_path / "repository")
    (folder / "net" / "1" / "model.onnx").unlink()
    seal(folder)
    with pytest.raises(BundleError, match="not a manifest as radserve-export writes it"):
        served.read(folder)


def test_the_page_has_a_place_for_each_fact_and_a_fact_for_each_place() -> None:
    with pytest.raises(BundleError, match=r"differ in .*PYTHON.*WORDS"):
        install_page.filled({"WORDS": "one"})


def test_the_page_names_every_requirement_file() -> None:
    page = install_page.PAGE.read_text()
    assert all(f"requirements/{name}" in page for name in (*REQUIREMENTS, "radserve.txt"))


@pytest.mark.parametrize(
    ("platforms", "wanted"),
    [
        (["any"], "2.0"),
        (["manylinux2014_x86_64.manylinux_2_17_x86_64", "any"], "2.17"),
        (["manylinux_2_27_x86_64.manylinux_2_28_x86_64", "manylinux_2_35_x86_64"], "2.35"),
    ],
)
def test_the_glibc_is_the_newest_that_any_wheel_needs(platforms: list[str], wanted: str) -> None:
    assert install_page.glibc(f"thing{n}-1.0-py3-none-{platform}.whl" for n, platform in enumerate(platforms)) == wanted


def test_the_command_says_what_is_wrong_and_leaves_nothing(tmp_path: Path) -> None:
    options = ["--repository", tmp_path / "none", "--output", tmp_path / "dist", "--cache", tmp_path / "wheels"]
    command = [sys.executable, "-m", "bundle", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.startswith(f"bundle: {tmp_path / 'none'} is no folder")
    assert list(tmp_path.iterdir()) == []
