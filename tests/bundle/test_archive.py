"""What the archive of a bundle is: the same bytes each time, a checksum for each file, there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bundle.archive import CHECKSUMS, Entry, files_under, write
from bundle.errors import BundleError

TIME_S = 1_700_000_000


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of odd mode and time."""
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(range(256)) * 5000)
    path.chmod(0o600)
    return path


def test_the_same_entries_in_another_order_give_the_same_bytes(tmp_path: Path, source: Path) -> None:
    entries = [Entry("b/model.onnx", source), Entry("a.txt", b"words"), Entry("c/1", None)]
    write(entries, tmp_path / "one.tar", root="r", modified_s=TIME_S)
    os.utime(source, (1, 1))
    write(reversed(entries), tmp_path / "two.tar", root="r", modified_s=TIME_S)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_members_belong_to_nobody_here_and_have_the_given_time(tmp_path: Path, source: Path) -> None:
    write([Entry("b/model.onnx", source), Entry("c/1", None)], tmp_path / "x.tar", root="r", modified_s=TIME_S)
    with tarfile.open(tmp_path / "x.tar") as tar:
        members = {member.name: member for member in tar}
    assert list(members) == ["r/b/model.onnx", "r/c/1", f"r/{CHECKSUMS}"]
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members.values()} == {(0, 0, "", "", TIME_S)}
    assert [oct(m.mode) for m in members.values()] == ["0o644", "0o755", "0o644"]
    assert members["r/c/1"].isdir()


def test_sha256sum_itself_accepts_the_checksums(tmp_path: Path, source: Path) -> None:
    sums = write(
        [Entry("b/model.onnx", source), Entry("a b.txt", b"words")], tmp_path / "x.tar", root="r", modified_s=0
    )
    assert sums["a b.txt"] == hashlib.sha256(b"words").hexdigest()
    subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", CHECKSUMS], cwd=tmp_path / "r", check=True)


def test_an_older_archive_stays_when_a_file_cannot_be_read(tmp_path: Path) -> None:
    target = tmp_path / "x.tar"
    target.write_bytes(b"the older one")
    with pytest.raises(BundleError, match=r"missing\.txt cannot be read"):
        write([Entry("a", b"1"), Entry("b", tmp_path / "missing.txt")], target, root="r", modified_s=0)
    assert target.read_bytes() == b"the older one"
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("path", ["/etc/passwd", "a/../../b", CHECKSUMS, "a\nb"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(BundleError, match="cannot be the path"):
        write([Entry(path, b"")], tmp_path / "x.tar", root="r", modified_s=0)


def test_two_files_of_one_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="a/b would be in the bundle twice"):
        write([Entry("a/b", b"1"), Entry("a", b""), Entry("a/b", b"2")], tmp_path / "x.tar", root="r", modified_s=0)


def test_a_link_is_refused_and_named(tmp_path: Path, source: Path) -> None:
    (folder := tmp_path / "folder").mkdir()
    (folder / "link.onnx").symlink_to(source)
    with pytest.raises(BundleError, match=r"link\.onnx is a link"):
        write(files_under(folder, "x"), tmp_path / "x.tar", root="r", modified_s=0)


def test_hidden_files_and_bytecode_stay_out(tmp_path: Path) -> None:
    for name in ("page.md", ".swp", ".git/config", "__pycache__/x.pyc", "deep/page.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(entry.path for entry in files_under(tmp_path, "docs")) == ["docs/deep/page.md", "docs/page.md"]


def test_a_folder_without_what_is_wanted_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="complete checkout"):
        files_under(tmp_path, "docs", "*.md")
