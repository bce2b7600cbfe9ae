"""Every format of labels: how to know it, how to read it, and what of a row says which label is its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from radserve_client.evaluate.errors import UnknownFormat
from radserve_client.evaluate.labels import cq500, csv_file, rsna_2019_ich, rsna_2023, vindr_spinexr
from radserve_client.evaluate.labels.table import LabelTable

MASKS = "masks"
"""Not a file but a folder of mask pictures; ``masks.py`` reads it."""


class Match(StrEnum):
    """What of a row is compared with the key of a label; ``manifest.<column>`` is another."""

    SOP = "sop"
    """SOP Instance UID; of a series that was judged slice by slice, that of each slice."""
    SERIES = "series"
    """Series Instance UID."""
    STUDY = "study"
    """Study Instance UID."""
    FILE = "file"
    """Name of the file, folder or URL that was scored, without its extension."""
    FOLDER = "folder"
    """Name of the folder that it lies in."""
    PREFIX = "prefix"
    """What stands before the first ``_`` in its name."""
    SUFFIX = "suffix"
    """What stands behind the last ``_`` in its name."""
    PATH = "path"
    """Its name, or that of any folder above it."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format of label files.

    ``columns`` are those that it cannot do without. ``matches`` are tried in this order, and the one that finds most
    is taken, the first of equals. ``canonical`` brings both sides to one spelling. ``patient_by`` is, by the match,
    where the patient of a row stands that the labels do not list.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    read: Callable[[Path], LabelTable]
    matches: tuple[Match, ...]
    canonical: Callable[[str], str] = str.strip
    by_slice: bool = False
    patient_by: tuple[tuple[Match, Match], ...] = ()


FORMATS = (
    Format(
        vindr_spinexr.NAME,
        "VinDr-SpineXR annotations/train.csv or test.csv",
        vindr_spinexr.COLUMNS,
        vindr_spinexr.read,
        matches=(Match.FILE, Match.SOP),
    ),
    Format(
        rsna_2023.NAME,
        "RSNA 2023 abdominal trauma train.csv",
        rsna_2023.COLUMNS,
        rsna_2023.read,
        matches=(Match.FOLDER, Match.PREFIX, Match.FILE),
    ),
    Format(
        rsna_2023.IMAGES,
        "RSNA 2023 abdominal trauma image_level_labels.csv",
        rsna_2023.IMAGE_COLUMNS,
        rsna_2023.read_images,
        matches=(Match.FILE, Match.SUFFIX, Match.SERIES),
        patient_by=((Match.FILE, Match.FOLDER), (Match.SUFFIX, Match.PREFIX), (Match.SERIES, Match.STUDY)),
    ),
    Format(
        rsna_2019_ich.NAME,
        "RSNA 2019 intracranial haemorrhage stage_2_train.csv",
        rsna_2019_ich.COLUMNS,
        rsna_2019_ich.read,
        matches=(Match.SOP, Match.FILE),
        by_slice=True,
    ),
    Format(
        cq500.NAME,
        "CQ500 reads.csv",
        cq500.COLUMNS,
        cq500.read,
        matches=(Match.PATH, Match.STUDY),
        canonical=cq500.canonical,
    ),
)
NAMES = (*(known.name for known in FORMATS), MASKS)


def format_of(path: Path, name: str | None) -> Format:
    """The format of that name, or the one whose columns the header has.

    Raises
    ------
    UnknownFormat
        No format of that name; or the header has the columns of none, or of several.
    UnreadableLabels
        The header cannot be read.
    """
    if name is not None:
        named = [known for known in FORMATS if known.name == name]
        if not named:
            raise UnknownFormat(f"no format is called {name}; there are {', '.join(NAMES)}")
        return named[0]
    present = set(csv_file.header(path))
    fitting = [known for known in FORMATS if present.issuperset(known.columns)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(known.name for known in fitting)
        raise UnknownFormat(f"{path} has the columns of several formats ({names}); choose one with --format")
    lacking = "\n".join(f"  {known.name} ({known.title}) lacks {_lacking(known, present)}" for known in FORMATS)
    raise UnknownFormat(f"{path} has the columns of no format; of\n{lacking}\nA folder of masks is {MASKS}.")


def _lacking(known: Format, present: set[str]) -> str:
    missing = [column for column in known.columns if column not in present]
    more = len(missing) - 5
    return ", ".join(missing[:5]) + (f" and {more} more" if more > 0 else "")
