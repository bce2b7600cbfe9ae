"""CQ500 ``reads.csv``: 14 findings of each head CT by three readers; a finding holds where two of them agree."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from radserve_client.evaluate.labels import csv_file
from radserve_client.evaluate.labels.table import Ints, LabelTable

NAME = "cq500"
KEY = "name"
READERS = ("R1", "R2", "R3")
MAJORITY = 2
FINDINGS = (
    "ICH IPH IVH SDH EDH SAH BleedLocation-Left BleedLocation-Right ChronicBleed Fracture CalvarialFracture"
    " OtherFracture MassEffect MidlineShift"
).split()
COLUMNS = (KEY, *(f"{reader}:{finding}" for reader in READERS for finding in FINDINGS))
_SCAN = re.compile(r"CQ500[-_ ]?CT[-_ ]?0*(\d+)", re.IGNORECASE)


def canonical(name: str) -> str:
    """``CQ500-CT-7`` for all its spellings: the archive's folders are called ``CQ500CT7 CQ500CT7``. Else as it is."""
    found = _SCAN.search(name)
    return f"CQ500-CT-{found[1]}" if found else name.strip()


def read(path: Path) -> LabelTable:
    """Scans with the majority of three readers; each scan is a patient.

    Raises
    ------
    UnreadableLabels
        A reader's column is missing, or a value is not 0 or 1.
    DuplicateLabels
        A scan has two rows.
    """
    table = csv_file.read(path, COLUMNS)
    names = csv_file.unique([canonical(name) for name in csv_file.keys(table, KEY)], "scans")
    votes = {
        finding: np.stack([csv_file.yes_or_no(table, f"{reader}:{finding}", KEY) for reader in READERS])
        for finding in FINDINGS
    }
    return LabelTable(
        format=NAME,
        level="study",
        keys=names,
        patients=names,
        patients_from="name of the labels",
        binary={finding: _majority(vote) for finding, vote in votes.items()},
        notes=(f"a finding holds where {MAJORITY} of {len(READERS)} readers agreed",),
    )


def _majority(votes: Ints) -> Ints:
    """``(scans,)`` of ``(readers, scans)``."""
    return np.asarray(votes.sum(axis=0) >= MAJORITY, dtype=np.int8)
