"""The facts of one bundle in, its INSTALL.md out (INSTALL.md beside this file is the page without them)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from packaging.utils import parse_wheel_filename

from bundle.errors import BundleError

PAGE = Path(__file__).with_name("INSTALL.md")
UNTRAINED = """
> **UNTRAINED.** The networks of this bundle have seeded weights, not trained ones. Their scores mean nothing: it is
> for trying the installation, never for anybody's images. `make bundle CHECKPOINTS=DIR` makes one to work with.
"""
_BLANK = re.compile(r"@([A-Z_]+)@")
_MANYLINUX = re.compile(r"manylinux_2_(\d+)_x86_64")
_OLD_NAMES = {"manylinux2014_x86_64": 17, "manylinux2010_x86_64": 12, "manylinux1_x86_64": 5}


def filled(facts: Mapping[str, str]) -> str:
    """The page with every ``@NAME@`` replaced; BundleError for one without a fact, and for a fact without a place."""
    page = PAGE.read_text("utf-8")
    asked = set(_BLANK.findall(page))
    if asked != set(facts):
        raise BundleError(f"{PAGE.name} and its facts differ in {', '.join(sorted(asked ^ set(facts)))}")
    return _BLANK.sub(lambda blank: facts[blank[1]], page)


def glibc(wheels: Iterable[str]) -> str:
    """The oldest glibc on which all these wheel files run, as their names say: ``2.35``."""
    return f"2.{max(map(_minor, wheels), default=0)}"


def _minor(wheel: str) -> int:
    """Minor version of the glibc 2 that one wheel needs; 0 when it needs none."""
    platforms = {tag.platform for tag in parse_wheel_filename(wheel)[3]}
    named = [int(match[1]) for platform in platforms if (match := _MANYLINUX.fullmatch(platform))]
    return min([*named, *(_OLD_NAMES[platform] for platform in platforms if platform in _OLD_NAMES)], default=0)
