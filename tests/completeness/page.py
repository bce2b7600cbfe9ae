"""docs/add-a-pipeline.md in; the places it lists, and its steps done in a folder, out.

A step is a fence under the line that names its file, or "add it to the list" in words. The folder begins as a checkout
without the toy: copies of the files that list pipelines.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from tests.served_repository import ROOT

TOY = "toy_ct"
PAGE = ROOT / "docs" / "add-a-pipeline.md"
CONTRACT, EXPORT = "contract/src/radserve_contract/pipelines", "export/src/radserve_export/pipelines"
DEMO = "devstack/src/radserve_devstack/demo_studies.py"
CHART = "helm/radserve/values.yaml"
LISTS = (f"{CONTRACT}/__init__.py", f"{EXPORT}/__init__.py", DEMO, "README.md", CHART)
TABLE_START = "| --- | --- | --- | --- |\n"

Step = Callable[[Path], None]


def table_places() -> list[str]:
    """The first column of the table of places."""
    return re.findall(r"^\| `([^`]+)` \|", PAGE.read_text("utf-8").partition("## 1.")[0], re.MULTILINE)


def profile_kinds() -> list[str]:
    """The first column of the table of profiles."""
    return re.findall(r"^\| `(\w+Profile)` \|", PAGE.read_text("utf-8"), re.MULTILINE)


def fences() -> dict[str, str]:
    """What the page writes, by the path above it."""
    found = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def steps() -> dict[str, Step]:
    """How each place gets its toy, in the order of the page."""
    written = fences()
    lists: dict[str, Step] = {
        f"{CONTRACT}/__init__.py": lambda root: _list(root / CONTRACT, "PIPELINES", f"{TOY}.SPEC"),
        f"{EXPORT}/__init__.py": lambda root: _list(root / EXPORT, "_MODULES", TOY),
        DEMO: lambda root: _insert(root / DEMO, r"^STUDIES\b[^=]*= \{\n", written[DEMO]),
        "README.md": lambda root: _insert(root / "README.md", re.escape(TABLE_START), written["README.md"]),
        CHART: lambda root: _insert(root / CHART, r"^pipelines:\n", f"  - {TOY}\n"),
    }
    paths = dict.fromkeys((*written, *lists))
    return {_place_of(path): lists.get(path) or _writer(path, written[path]) for path in paths}


def begin(root: Path) -> Path:
    """A checkout that has never heard of the toy, as far as the rules look."""
    for name in LISTS:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


def follow(root: Path) -> Path:
    """The folder with every step of the page done."""
    begin(root)
    for step in steps().values():
        step(root)
    return root


@contextmanager
def installed(root: Path, *packages: str) -> Iterator[None]:
    """``radserve_contract.pipelines.toy_ct`` and its like can be imported from ``root`` until the block ends."""
    folders = {"radserve_contract.pipelines": root / CONTRACT, "radserve_export.pipelines": root / EXPORT}
    found = {name: importlib.import_module(name) for name in packages}
    paths = {name: list(module.__path__) for name, module in found.items()}
    try:
        for name, module in found.items():
            module.__path__ = [*paths[name], str(folders[name])]
        yield
    finally:
        for name, module in found.items():
            module.__path__ = paths[name]
            sys.modules.pop(f"{name}.{TOY}", None)
            vars(module).pop(TOY, None)


@contextmanager
def loaded(path: Path) -> Iterator[ModuleType]:
    """The module in that file, under a name of its own until the block ends."""
    name = f"page_{path.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


def _place_of(path: str) -> str:
    """The place in the table that a file is, or lies in."""
    return next(place for place in table_places() if path == place or path.startswith(f"{place}/"))


def _writer(path: str, text: str) -> Step:
    def write(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")

    return write


def _list(folder: Path, name: str, entry: str) -> None:
    """Import the toy's module in the package, and add ``entry`` to its tuple ``name``."""
    package = ".".join(folder.parts[-2:])
    _insert(folder / "__init__.py", rf"(?=^{name}\b)", f"from {package} import {TOY}\n\n")
    _insert(folder / "__init__.py", rf"^{name}\b[^=]*= \(", f"{entry}, ")


def _insert(path: Path, after: str, text: str) -> None:
    """Put ``text`` behind the one place that the pattern finds."""
    changed, count = re.subn(f"({after})", lambda found: found[1] + text, path.read_text("utf-8"), flags=re.MULTILINE)
    assert count == 1, f"{path}: {after} found {count} times"
    path.write_text(changed, "utf-8")
