"""Requirement files in, the pins that hold for this Python out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from bundle.errors import BundleError

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """A distribution at one version, and the SHA-256 that its files may have."""

    name: NormalizedName
    version: str
    sha256: frozenset[str]
    lines: str
    """The requirement as the file has it, hashes included."""


def pins(files: Iterable[Path]) -> tuple[Pin, ...]:
    """The pins of all files together, by name, each once; those for other Pythons are left out.

    Raises
    ------
    BundleError
        A requirement without version or hash, or two files that pin two versions.
    """
    found: dict[str, Pin] = {}
    for file in files:
        for pin in _pins_of(file):
            if found.setdefault(pin.name, pin).version != pin.version:
                raise BundleError(
                    f"{pin.name} is {found[pin.name].version} and, in {file}, {pin.version}: run make lock"
                )
    return tuple(found[name] for name in sorted(found))


def _pins_of(file: Path) -> Iterable[Pin]:
    for lines in re.split(r"(?<!\\)\n", file.read_text("utf-8")):
        text = _HASH.sub("", lines.replace("\\\n", " ")).strip()
        if not text or text.startswith("#"):
            continue
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        versions = [item.version for item in requirement.specifier if item.operator == "=="]
        hashes = frozenset(_HASH.findall(lines))
        if len(versions) != 1 or not hashes:
            raise BundleError(f"{file}: {requirement.name} has no exact version with a hash; run make lock")
        yield Pin(canonicalize_name(requirement.name), versions[0], hashes, lines)
