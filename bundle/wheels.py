"""Pins in, a wheel file for each out, with a hash that its pin names; downloaded once into a folder that is kept."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from bundle.errors import BundleError
from bundle.pins import Pin


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel file and its SHA-256."""

    path: Path
    sha256: str


def fetched(wanted: Sequence[Pin], cache: Path) -> tuple[Wheel, ...]:
    """A wheel for each pin, in their order; what ``cache`` lacks is downloaded into it by pip, hashes required.

    Raises
    ------
    BundleError
        pip could not get one; the message ends with what it said.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [pin for pin in wanted if _in_cache(pin, cache) is None]
    if missing:
        _download(missing, cache)
    wheels = {pin: _in_cache(pin, cache) for pin in wanted}
    if absent := [pin.name for pin, wheel in wheels.items() if wheel is None]:
        raise BundleError(f"{cache} still lacks {', '.join(absent)} after the download; empty it and try again")
    return tuple(wheel for wheel in wheels.values() if wheel is not None)


def built(members: Iterable[Path], folder: Path, *, modified_s: int) -> tuple[Wheel, ...]:
    """A wheel of each workspace member, by the build back end that it names, without network and reproducibly."""
    return tuple(_build(member, folder / member.name, modified_s) for member in members)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _in_cache(pin: Pin, cache: Path) -> Wheel | None:
    for path in sorted(cache.glob("*.whl")):
        if _is_of(path, pin) and (digest := sha256_of(path)) in pin.sha256:
            return Wheel(path, digest)
    return None


def _is_of(path: Path, pin: Pin) -> bool:
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        return False
    return (canonicalize_name(name), str(version)) == (pin.name, pin.version)


def _download(missing: Sequence[Pin], cache: Path) -> None:
    """With pip into a folder of its own, then each whole file at once into the cache."""
    with TemporaryDirectory(dir=cache, prefix=".download-") as text:
        folder = Path(text)
        listed = folder / "requirements.txt"
        listed.write_text("".join(f"{pin.lines}\n" for pin in missing), "utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        command += ["--only-binary", ":all:", "--dest", str(folder), "--requirement", str(listed)]
        _run(command, f"{len(missing)} wheels, {missing[0].name} among them, could not be downloaded")
        for path in folder.glob("*.whl"):
            path.replace(cache / path.name)


def _build(member: Path, folder: Path, modified_s: int) -> Wheel:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    _run(command, f"{member} could not be built", cwd=member, environ={"SOURCE_DATE_EPOCH": str(modified_s)})
    (path,) = folder.glob("*.whl")
    return Wheel(path, sha256_of(path))


def _run(
    command: Sequence[str], failure: str, *, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> None:
    run = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | (environ or {}),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if run.returncode != 0:
        raise BundleError(f"{failure}; {' '.join(command[1:4])} said: {(run.stderr or run.stdout).strip()[-1500:]}")
