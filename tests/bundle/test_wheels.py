"""Pins and the wheels for them: what holds for this Python, what is in the cache, what pip is asked for."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from bundle import wheels
from bundle.contents import MEMBERS, requirements_of
from bundle.errors import BundleError
from bundle.pins import Pin, pins
from bundle.wheels import Wheel, built, fetched, sha256_of

ROOT = Path(__file__).resolve().parents[2]
HASH = "0" * 64


def requirements(folder: Path, text: str, name: str = "some.txt") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def wheel(folder: Path, content: bytes, name: str = "thing-1.0-py3-none-any.whl") -> Pin:
    """A file of that name in ``folder``, and the pin that wants these bytes."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    return wanting(content)


def wanting(content: bytes) -> Pin:
    digest = hashlib.sha256(content).hexdigest()
    (pin,) = [Pin("thing", "1.0", frozenset({digest}), f"thing==1.0 \\\n    --hash=sha256:{digest}")]
    return pin


def test_a_pin_for_another_python_is_left_out(tmp_path: Path) -> None:
    text = "".join(
        f"Some.Thing=={version} ; python_full_version {condition} \\\n    --hash=sha256:{HASH}\n"
        for version, condition in (("1.0", "< '3'"), ("2.0", ">= '3'"))
    )
    (pin,) = pins([requirements(tmp_path, f"# words\n{text}")])
    assert (pin.name, pin.version, pin.sha256) == ("some-thing", "2.0", frozenset({HASH}))


@pytest.mark.parametrize("line", ["thing==1.0\n", f"thing>=1.0 --hash=sha256:{HASH}\n"])
def test_a_requirement_that_leaves_something_open_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(BundleError, match="thing has no exact version with a hash"):
        pins([requirements(tmp_path, line)])


def test_files_that_pin_two_versions_are_refused(tmp_path: Path) -> None:
    files = [requirements(tmp_path, f"thing=={v} --hash=sha256:{HASH}\n", f"{v}.txt") for v in ("1", "2")]
    with pytest.raises(BundleError, match=r"thing is 1 and, in .*2\.txt, 2"):
        pins(files)


def test_what_the_cache_holds_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "_download", lambda *_: pytest.fail("asked for a download"))
    pin = wheel(tmp_path / "cache", b"content")
    (found,) = fetched([pin], tmp_path / "cache")
    assert (found.path.name, {found.sha256}) == ("thing-1.0-py3-none-any.whl", set(pin.sha256))


@pytest.mark.parametrize("name", ["thing-1.0-py3-none-any.whl", "thing-1.1-py3-none-any.whl", "notes.whl"])
def test_a_cached_file_of_other_bytes_or_version_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    asked: list[Pin] = []
    monkeypatch.setattr(wheels, "_download", lambda missing, _: asked.extend(missing))
    wheel(tmp_path / "cache", b"damaged", name)
    with pytest.raises(BundleError, match="still lacks thing"):
        fetched([wanting(b"content")], tmp_path / "cache")
    assert asked == [wanting(b"content")]


def test_pip_takes_nothing_with_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel(tmp_path / "index", b"tampered with")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    with pytest.raises(BundleError, match=r"(?s)1 wheels, thing among them, could not be downloaded.*DO NOT MATCH"):
        fetched([wanting(b"content")], tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_our_own_wheels_are_built_alike_each_time_and_hold_what_they_need(tmp_path: Path) -> None:
    member = [ROOT / "triton_server"]
    (one,), (two,) = (built(member, tmp_path / name, modified_s=1_700_000_000) for name in "ab")
    assert one.sha256 == two.sha256 == sha256_of(one.path)
    names = set(zipfile.ZipFile(one.path).namelist())
    assert {"radserve_triton/self_test/radserve_self_test/1/model.onnx", "radserve_triton/cli.py"} <= names
    loose = [name for name in names if name.startswith("radserve_triton/self_test/") and name.count("/") == 2]
    assert loose == [], "pip compiles what is there, and Triton takes __pycache__ for a model"


def test_every_member_that_is_served_with_is_a_folder_of_the_workspace() -> None:
    assert all((ROOT / member / "pyproject.toml").is_file() for member in MEMBERS)
    assert "export" not in MEMBERS


def test_our_own_wheels_are_named_with_their_hashes() -> None:
    text = requirements_of([Wheel(Path("radserve_client-0.1.0-py3-none-any.whl"), HASH)])
    assert text.splitlines()[1:] == ["radserve-client==0.1.0 \\", f"    --hash=sha256:{HASH}"]
