"""RSNA 2023 abdominal trauma: ``train.csv`` (a row per patient) and ``image_level_labels.csv`` (a row per slice)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radserve_client.evaluate.errors import UnreadableLabels, examples
from radserve_client.evaluate.labels import csv_file
from radserve_client.evaluate.labels.table import Grades, Ints, LabelTable

NAME = "rsna_2023"
IMAGES = "rsna_2023_images"
PATIENT = "patient_id"
INJURIES = {"bowel": "bowel_injury", "extravasation": "extravasation_injury"}
ORGANS = ("kidney", "liver", "spleen")
GRADES = ("healthy", "low", "high")
ANY = "any_injury"
_ONE_HOT = (
    *((f"{injury}_healthy", column) for injury, column in INJURIES.items()),
    *(tuple(f"{organ}_{grade}" for grade in GRADES) for organ in ORGANS),
)
COLUMNS = (PATIENT, *(column for group in _ONE_HOT for column in group), ANY)

SERIES = "series_id"
INJURY_NAME = "injury_name"
INJURY_NAMES = ("Bowel", "Active_Extravasation")
IMAGE_COLUMNS = (PATIENT, SERIES, "instance_number", INJURY_NAME)


def read(path: Path) -> LabelTable:
    """Patients: bowel injury, extravasation, any injury; a grade of each organ.

    Raises
    ------
    UnreadableLabels
        A column is missing, a value is not 0 or 1, or the columns of one organ do not have exactly one 1.
    DuplicateLabels
        A patient has two rows.
    """
    table = csv_file.read(path, COLUMNS)
    patients = csv_file.unique(csv_file.keys(table, PATIENT), "patients")
    values = {column: csv_file.yes_or_no(table, column, PATIENT) for column in COLUMNS[1:]}
    for group in _ONE_HOT:
        _check_one_hot(group, values, patients)
    return LabelTable(
        format=NAME,
        level="patient",
        keys=patients,
        patients=patients,
        patients_from="patient_id of the labels",
        binary={column: values[column] for column in (*INJURIES.values(), ANY)},
        grades={organ: Grades(GRADES, _index_of_one(organ, values)) for organ in ORGANS},
    )


def _check_one_hot(group: tuple[str, ...], values: dict[str, Ints], patients: tuple[str, ...]) -> None:
    wrong = np.flatnonzero(np.sum([values[column] for column in group], axis=0) != 1)
    if len(wrong):
        raise UnreadableLabels(
            f"{len(wrong)} patients do not have exactly one 1 in {', '.join(group)}"
            f" ({examples(patients[number] for number in wrong)})"
        )


def _index_of_one(organ: str, values: dict[str, Ints]) -> Ints:
    stacked = np.stack([values[f"{organ}_{grade}"] for grade in GRADES])
    return np.asarray(stacked.argmax(axis=0), dtype=np.int8)


def read_images(path: Path) -> LabelTable:
    """Series with a slice that shows an injury of the bowel or active bleeding; any other series is without.

    Raises
    ------
    UnreadableLabels
        A column is missing, an injury has another name, or a series is of two patients.
    """
    table = csv_file.read(path, IMAGE_COLUMNS)
    series, patients = csv_file.keys(table, SERIES), csv_file.keys(table, PATIENT)
    injuries = csv_file.keys(table, INJURY_NAME)
    unknown = dict.fromkeys(name for name in injuries if name not in INJURY_NAMES)
    if unknown:
        raise UnreadableLabels(f"column injury_name says {examples(unknown)}; wanted {' or '.join(INJURY_NAMES)}")
    patient_of: dict[str, str] = {}
    torn = [
        one for one, patient in zip(series, patients, strict=True) if patient_of.setdefault(one, patient) != patient
    ]
    if torn:
        raise UnreadableLabels(f"{len(set(torn))} series are of several patients ({examples(dict.fromkeys(torn))})")
    seen = set(zip(series, injuries, strict=True))
    return LabelTable(
        format=IMAGES,
        level="series",
        keys=tuple(patient_of),
        patients=tuple(patient_of.values()),
        patients_from="patient_id of the labels",
        binary={name: np.array([(one, name) in seen for one in patient_of], dtype=np.int8) for name in INJURY_NAMES},
        unlisted_are_negative=True,
        notes=(
            "the file lists slices that show an injury; a scored series that it does not list counts as without,"
            " which holds only for series of this data set",
        ),
    )
