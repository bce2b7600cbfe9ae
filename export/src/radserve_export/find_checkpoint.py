"""A folder of checkpoints and what a pipeline says of names in, the file to load out."""

from __future__ import annotations

from pathlib import Path

from radserve_export.errors import CheckpointMissing
from radserve_export.exportable import CheckpointPath


def find_checkpoint(folder: Path, wanted: CheckpointPath) -> Path:
    """The checkpoint in ``folder``: the first of several names that is there, or what the pipeline's function finds.

    Raises
    ------
    CheckpointMissing
        When there is none, naming every path that was looked at.
    """
    if callable(wanted):
        if not folder.is_dir():
            raise CheckpointMissing(f"{folder} (no such folder)")
        return wanted(folder)
    candidates = [folder / path for path in (wanted if isinstance(wanted, tuple) else (wanted,))]
    for path in candidates:
        if path.is_file():
            return path
    raise CheckpointMissing(" or ".join(map(str, candidates)))
