"""Pictures and masks in, files out: in folders, or in a zip archive beside each part of the results.

A file is on the disk before the row that names it is. With zip archives it waits in ``OUT/.radserve/artifacts`` as
long as its row waits in the ledger, and goes into ``OUT/artifacts/part-000001.zip`` when the row goes into
``OUT/results/part-000001.parquet``; nothing is ever appended to an archive, so no archive is ever half-written.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any

from radserve_client.overlay_names import MASK_SUFFIX, SUFFIX
from radserve_client.score.disk import HIDDEN, make_folder, on_disk, writing
from radserve_client.score.errors import DamagedOutput

ARCHIVES = "artifacts"
STAGED = f"{HIDDEN}/artifacts"
FOLDERS = {"overlay_file": ("overlays", SUFFIX), "mask_file": ("masks", MASK_SUFFIX)}
"""Column of the row, with the folder of its files and what their names end with."""


class ArtifactKind(StrEnum):
    """Where pictures and masks go."""

    FOLDER = "folder"
    ZIP = "zip"


def archive_path(out: Path, number: int) -> Path:
    """The archive beside part ``number`` of the results."""
    return out / ARCHIVES / f"part-{number:06d}.zip"


def read_artifact(out: Path, recorded: str) -> bytes:
    """The content of a file that a row names (``overlay_file``, ``mask_file``), relative to ``out``.

    Raises
    ------
    DamagedOutput
        There is no such file, or not in its archive, or it cannot be read.
    """
    path = Path(recorded)
    try:
        if path.parent.suffix == ".zip":
            with zipfile.ZipFile(out / path.parent) as archive:
                return archive.read(path.name)
        return (out / path).read_bytes()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DamagedOutput(f"{out / recorded} cannot be read: {error}") from error


class Artifacts:
    """Writes the files of rows, and names them by ``item_key``: nothing of a patient is in a name."""

    def __init__(self, out: Path, kind: ArtifactKind) -> None:
        self._out = out
        self._kind = kind
        self._unsynced: list[tuple[Path, Path]] = []

    def write(self, item_key: str, contents: dict[str, bytes | None]) -> dict[str, str]:
        """Write the files of an item, ``contents`` by column, and say what to put into the row: paths under ``out``.

        They have their names only after ``sync``.

        Raises
        ------
        UnwritableOutput
            The disk is full, or the folder must not be written to.
        """
        return {
            column: self._write(item_key, column, content)
            for column, content in contents.items()
            if content is not None
        }

    def sync(self) -> None:
        """Return when everything written is on the disk, under its name. Call it before its rows are committed."""
        if not self._unsynced:
            return
        with writing(self._out):
            for temporary, target in self._unsynced:
                if temporary.exists():  # else the same item came twice
                    on_disk(temporary)
                    temporary.replace(target)
            for folder in {target.parent for _, target in self._unsynced}:
                on_disk(folder)
        self._unsynced.clear()

    def _write(self, item_key: str, column: str, content: bytes) -> str:
        target = self._target(item_key, column)
        temporary = self._out / STAGED / f"{target.name}.part"
        with writing(target):
            make_folder(temporary.parent)
            make_folder(target.parent)
            try:
                temporary.write_bytes(content)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        self._unsynced.append((temporary, target))
        return target.relative_to(self._out).as_posix()

    def _target(self, item_key: str, column: str) -> Path:
        if self._kind is ArtifactKind.ZIP:
            return self._out / STAGED / (item_key + FOLDERS[column][1])
        return _in_folder(self._out, item_key, column)


def pack(out: Path, recorded: Iterable[str], archive: Path) -> bool:
    """Put the staged ones of ``recorded`` into a new zip archive; False, and no archive, when there are none.

    They are not compressed: PNG and gzip are already.
    """
    names = (Path(path).name for path in recorded if _staged(path))
    first = next(names, None)
    if first is None:
        return False
    with writing(archive):
        try:
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
                for name in (first, *names):
                    packed.write(out / STAGED / name, name)
        except BaseException:
            archive.unlink(missing_ok=True)
            raise
    return True


def repack(source: Path, archive: Path, without: Collection[str]) -> bool:
    """Copy an archive without the files of some items (``item_key``); False, and no copy, when it has none of them."""
    with writing(archive), zipfile.ZipFile(source) as old:
        kept = [name for name in old.namelist() if _key(name) not in without]
        if len(kept) == len(old.namelist()):
            return False
        try:
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as new:
                for name in kept:
                    with old.open(name) as content, new.open(name, "w", force_zip64=True) as copy:
                        while block := content.read(1 << 20):
                            copy.write(block)
        except BaseException:
            archive.unlink(missing_ok=True)
            raise
    return True


def packed(values: dict[str, Any], archive: Path, out: Path) -> dict[str, Any]:
    """A row whose staged files are in ``archive`` now."""
    where = archive.relative_to(out).as_posix()
    moved = {column: f"{where}/{Path(values[column]).name}" for column in FOLDERS if _staged(values[column])}
    return values | moved


def recorded_files(values: dict[str, Any]) -> list[str]:
    """The files that a row names."""
    return [values[column] for column in FOLDERS if values[column] is not None]


def remove_staged(out: Path, wanted: Callable[[], Collection[str]]) -> None:
    """Remove what waits for an archive, but for the files (by name) that are still wanted."""
    if staged := list((out / STAGED).glob("*")):
        keep = wanted()
        for path in staged:
            if path.name not in keep:
                path.unlink()


def remove_from_folders(out: Path, item_key: str) -> None:
    """Remove the pictures and masks of an item whose row is no more."""
    for column in FOLDERS:
        _in_folder(out, item_key, column).unlink(missing_ok=True)


def _in_folder(out: Path, item_key: str, column: str) -> Path:
    folder, suffix = FOLDERS[column]
    return out / folder / item_key[:2] / (item_key + suffix)  # 256 folders: none gets too many files to list


def _staged(recorded: str | None) -> bool:
    return recorded is not None and recorded.startswith(f"{STAGED}/")


def _key(name: str) -> str:
    return name.partition(".")[0]
