"""Folders of small files for tests of sources; a DICOM file here is one by its first bytes only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from radserve_client.score.item import FilePart, Item, UnreadablePart
from radserve_client.score.sources.folder import items_below
from radserve_client.score.sources.options import GroupBy

DICOM = bytes(128) + b"DICM" + bytes(16)


def plant(root: Path, *names: str, content: bytes = DICOM) -> Path:
    """Files of these names, with the folders they need."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def items(root: Path, group_by: GroupBy = GroupBy.FILE) -> list[Item]:
    return list(items_below(str(root), group_by))


def shown(found: Iterable[Item], root: Path) -> dict[str, list[str]]:
    """Source to its parts, relative to ``root``; of a failing item the code."""
    return {item.source.removeprefix(f"{root}/"): [_part(part, root) for part in item.parts] for item in found}


def _part(part: object, root: Path) -> str:
    if isinstance(part, UnreadablePart):
        return part.code
    assert isinstance(part, FilePart)
    return part.path.removeprefix(f"{root}/")
