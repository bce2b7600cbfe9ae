"""Requirement files and installed metadata in, the table of ``docs/licences.md`` out.

``.venv/bin/python requirements/licences.py`` rewrites the table; ``tests/docs/test_licences.py`` compares it. What a
licence means for a site is written by hand around the table.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
BEGIN = "<!-- table: written by requirements/licences.py -->"
END = "<!-- end of table -->"

USES = {
    "service image": ("service.txt",),
    "client": ("client.txt",),
    "embedded Triton": ("triton.txt", "triton-server.txt", "launcher.txt"),
    "export": ("export.txt",),
}
"""Where a dependency runs, and the requirement files that put it there."""

PERMISSIVE = frozenset(
    "0BSD Apache-2.0 BSD BSD-2-Clause BSD-3-Clause CC0-1.0 HPND ISC MIT MIT-CMU PSF-2.0 Zlib".split()
)
"""What the serving side may consist of: use, change and pass on, keeping the notice."""

SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD License": "BSD",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
"""Metadata written before SPDX expressions were the rule, as SPDX writes it."""

UNSTATED = {
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
}
"""Distributions whose metadata name no licence, with the one their vendor's terms say."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==")
_SPDX = re.compile(r"^[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*$")


@dataclass(frozen=True, slots=True)
class Row:
    """One dependency: its name, its licence as an SPDX expression, and the keys of ``USES`` it runs in."""

    name: str
    licence: str
    uses: frozenset[str]


def canonical(name: str) -> str:
    """The name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(requirements: Path) -> frozenset[str]:
    """Names pinned in a requirement file."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return frozenset(canonical(match[1]) for line in lines if (match := _PIN.match(line)))


def spdx(text: str) -> str:
    """``text`` as an SPDX expression; ValueError when it is neither one nor a known older spelling."""
    text = SPELLINGS.get(text, text)
    if not _SPDX.match(text):
        raise ValueError(f"licence {text!r} is no SPDX expression; add its spelling to {Path(__file__).name}")
    return text


def licence_of(distribution: Distribution) -> str:
    """The licence that a distribution's metadata state, as an SPDX expression.

    License-Expression counts before License, and that before the classifiers.

    Raises
    ------
    ValueError
        When the metadata say nothing, or something that is not understood.
    """
    metadata = distribution.metadata
    name = canonical(metadata["Name"])
    if name in UNSTATED:
        return UNSTATED[name]
    stated = [*(metadata.get_all("License-Expression") or []), *(metadata.get_all("License") or [])]
    stated += [text.split("::")[-1].strip() for text in metadata.get_all("Classifier") or [] if text[:7] == "License"]
    for text in stated:
        try:
            return spdx(text)
        except ValueError:
            continue
    raise ValueError(f"{name}: no licence understood in {stated}; add its spelling to {Path(__file__).name}")


def alternatives(expression: str) -> list[frozenset[str]]:
    """The ways to comply with an SPDX expression (no brackets): any one of the sets of licences returned."""
    return [frozenset(re.split(r" AND | WITH ", choice)) for choice in expression.split(" OR ")]


def is_permissive(expression: str) -> bool:
    """Whether at least one way to comply consists of ``PERMISSIVE`` licences only."""
    return any(choice <= PERMISSIVE for choice in alternatives(expression))


def installed() -> dict[str, Distribution]:
    """What ``.venv`` and ``.venv-triton`` hold, by canonical name."""
    paths = [str(path) for venv in (".venv", ".venv-triton") for path in ROOT.glob(f"{venv}/lib/python*/site-packages")]
    return {canonical(found.metadata["Name"]): found for found in distributions(path=paths)}


def rows(found: Mapping[str, Distribution], folder: Path = ROOT / "requirements") -> list[Row]:
    """One row per pinned dependency, by name; KeyError when one is not installed."""
    uses: dict[str, set[str]] = {}
    for use, files in USES.items():
        for name in frozenset[str]().union(*(pinned(folder / file) for file in files)):
            uses.setdefault(name, set()).add(use)
    return [Row(name, licence_of(found[name]), frozenset(uses[name])) for name in sorted(uses)]


def table(dependencies: Iterable[Row]) -> str:
    """The rows as a Markdown table, a column per use."""
    lines = [f"| dependency | licence | {' | '.join(USES)} |", f"| --- | --- |{' :-: |' * len(USES)}"]
    for row in dependencies:
        marks = " | ".join("x" if use in row.uses else " " for use in USES)
        lines.append(f"| {row.name} | {row.licence} | {marks} |")
    return "\n".join(lines)


def with_table(page: str, text: str) -> str:
    """``page`` with ``text`` between the two markers."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Rewrite the table in ``docs/licences.md``."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, table(rows(installed()))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
