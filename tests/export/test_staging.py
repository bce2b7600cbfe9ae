"""The served repository changes in one instant or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from radserve_export import staging
from radserve_export.errors import BusyRepository, PublishError
from radserve_export.staging import MANIFEST, staging_folder, swap_in


def tree_of(folder: Path, text: str) -> Path:
    """A tiny served repository."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.pbtxt").write_text(text)
    (folder / MANIFEST).write_text('{"pipeline": "small", "files": []}')
    return folder


def content(repository: Path) -> str:
    return (repository / "model" / "config.pbtxt").read_text()


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".repository.staging-"))


def test_a_new_repository_appears_with_its_parents(tmp_path: Path) -> None:
    repository = tmp_path / "a" / "b" / "repository"
    with staging_folder(repository) as folder:
        assert not repository.exists()
        swap_in(tree_of(folder / "repository", "new"), repository)
    assert content(repository) == "new"
    assert hidden(repository.parent) == []


def test_an_old_repository_is_replaced_as_a_whole(tmp_path: Path) -> None:
    repository = tree_of(tmp_path / "repository", "old")
    (repository / "stale").write_text("")
    with staging_folder(repository) as folder:
        swap_in(tree_of(folder / "repository", "new"), repository)
    assert content(repository) == "new"
    assert not (repository / "stale").exists()
    assert hidden(tmp_path) == []


def test_whoever_reads_sees_the_old_or_the_new_one_and_never_none(tmp_path: Path) -> None:
    repository = tree_of(tmp_path / "repository", "old")
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(repository)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    for number in range(200):
        with staging_folder(repository) as folder:
            swap_in(tree_of(folder / "repository", str(number)), repository)
    seen, _ = reader.communicate()
    assert reader.returncode == 0
    assert int(seen.split()[0]) > 1, "the reader saw no change, so it proves nothing"
    assert seen.split()[1] == "0", f"(changes, times there was nothing) {seen}"


READER = """
import select, sys, os
path = os.path.join(sys.argv[1], "model", "config.pbtxt")
print("reading", flush=True)
changes, absent, last = 0, 0, "old"
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        with open(path) as file:
            text = file.read()
    except FileNotFoundError:
        absent += 1
        continue
    changes += text != last
    last = text
print(changes, absent)
"""


def test_a_failure_leaves_the_old_repository_and_no_trace(tmp_path: Path) -> None:
    repository = tree_of(tmp_path / "repository", "old")

    def fail_half_way() -> None:
        with staging_folder(repository) as folder:
            tree_of(folder / "repository", "half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_half_way()
    assert content(repository) == "old"
    assert hidden(tmp_path) == []


def test_what_a_killed_export_leaves_is_invisible_and_removed_by_the_next(tmp_path: Path) -> None:
    repository = tree_of(tmp_path / "repository", "old")
    killed = subprocess.Popen(
        [sys.executable, "-c", HANGING_EXPORT, str(repository)], stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half way\n"
    with pytest.raises(BusyRepository, match="another export is writing it"), staging_folder(repository):
        pass
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert content(repository) == "old"
    assert len(hidden(tmp_path)) == 1
    with staging_folder(repository) as folder:
        assert hidden(tmp_path) == [folder.name]
        swap_in(tree_of(folder / "repository", "new"), repository)
    assert content(repository) == "new"
    assert hidden(tmp_path) == []


HANGING_EXPORT = """
import sys, time
from pathlib import Path
from radserve_export.staging import staging_folder
with staging_folder(Path(sys.argv[1])) as folder:
    (folder / "repository").mkdir()
    (folder / "repository" / "half").write_text("half")
    print("half way", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_is_no_served_repository_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(PublishError, match=r"holds files but no manifest\.json"), staging_folder(tmp_path / "home"):
        pass
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("manifest", ['{"name": "a web page", "icons": []}', "[]", "not JSON", '{"files": 3}'])
def test_a_folder_with_somebody_elses_manifest_is_never_replaced(manifest: str, tmp_path: Path) -> None:
    """Web pages and browser extensions have a file of this name too."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / MANIFEST).write_text(manifest)
    with pytest.raises(PublishError, match=r"manifest\.json .*no served repository"), staging_folder(tmp_path / "page"):
        pass
    assert (tmp_path / "page" / MANIFEST).read_text() == manifest


def test_what_was_put_in_the_way_during_the_export_is_not_replaced(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    with staging_folder(repository) as folder:
        tree = tree_of(folder / "repository", "new")
        repository.mkdir()
        (repository / "thesis.txt").write_text("years of work")
        with pytest.raises(PublishError, match="no served repository"):
            swap_in(tree, repository)
    assert (repository / "thesis.txt").read_text() == "years of work"


def test_a_file_system_without_locks_is_a_plain_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(staging.fcntl, "flock", no_locks)
    with pytest.raises(PublishError, match="cannot be locked: No locks available"), staging_folder(tmp_path / "r"):
        pass


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    with staging_folder(tmp_path / "repository") as folder:
        swap_in(tree_of(folder / "repository", "new"), tmp_path / "repository")
    assert content(tmp_path / "repository") == "new"


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "repository").write_text("")
    with pytest.raises(PublishError, match="is a file"), staging_folder(tmp_path / "repository"):
        pass


def test_a_place_that_cannot_be_written_is_a_plain_error() -> None:
    with (
        pytest.raises(PublishError, match="/proc/radserve: cannot be written"),
        staging_folder(Path("/proc/radserve/r")),
    ):
        pass


def test_a_file_system_without_exchange_keeps_the_old_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OldLibc:
        def renameat2(self, *arguments: object) -> int:
            staging.ctypes.set_errno(errno.EINVAL)
            return -1

    monkeypatch.setattr(staging.ctypes, "CDLL", lambda *arguments, **options: OldLibc())
    repository = tree_of(tmp_path / "repository", "old")
    with pytest.raises(PublishError, match="cannot be swapped in one step here"), staging_folder(repository) as folder:
        swap_in(tree_of(folder / "repository", "new"), repository)
    assert content(repository) == "old"


def test_the_repository_is_readable_by_the_servers_user(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    with staging_folder(repository) as folder:
        swap_in(tree_of(folder / "repository", "new"), repository)
    umask = os.umask(0o022)
    os.umask(umask)
    assert repository.stat().st_mode & 0o777 == 0o777 & ~umask
