"""A pipeline's name and a few options in, what counts as one item out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from radserve_client.score.errors import WrongUse
from radserve_client.score.sources.access import Access
from radserve_contract.pipelines import PIPELINES


class GroupBy(StrEnum):
    """Which files make one item."""

    FILE = "file"
    FOLDER = "folder"
    """The DICOM files directly in a folder; a zip, a NIfTI file and a picture are items by themselves."""
    SERIES = "series"
    """The DICOM files of a folder that have one Series Instance UID; read from their headers."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read. ``path_column`` None takes a manifest's column ``path`` or ``url``."""

    group_by: GroupBy = GroupBy.FILE
    path_column: str | None = None
    access: Access = field(default_factory=Access)


def options_for(
    pipeline: str,
    *,
    group_by: GroupBy | None = None,
    path_column: str | None = None,
    access: Access | None = None,
) -> SourceOptions:
    """The options that suit a pipeline: radiographs file by file, CT folder by folder.

    Raises
    ------
    WrongUse
        No such pipeline, or a grouping that makes series for a pipeline of single films.
    """
    specs = {spec.name: spec for spec in PIPELINES}
    if pipeline not in specs:
        raise WrongUse(f"there is no pipeline {pipeline}; there are {', '.join(specs)}")
    reads_series = specs[pipeline].volumes is not None
    if group_by not in (None, GroupBy.FILE) and not reads_series:
        raise WrongUse(f"--group-by {group_by}: {pipeline} reads single films, so a file is an item")
    usual = GroupBy.FOLDER if reads_series else GroupBy.FILE
    return SourceOptions(group_by or usual, path_column, access or Access())
