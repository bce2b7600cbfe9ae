"""Which score of which pipeline is held against which label of which format, and what to know of the pair.

Sources: the data sets that the trained systems were trained on (docs/model-cards).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radserve_client.evaluate.errors import WrongFormat
from radserve_client.evaluate.labels import cq500, rsna_2019_ich, rsna_2023, vindr_spinexr
from radserve_client.evaluate.labels.formats import MASKS
from radserve_contract.pipelines.head_ct import NAMES
from radserve_contract.spec import DECISION


@dataclass(frozen=True, slots=True)
class Target:
    """``score``: a label of the answer, or ``decision``; ``reference``: a binary label of the file."""

    score: str
    reference: str


@dataclass(frozen=True, slots=True)
class OrganTarget:
    """An organ of the answer, and of the file; ``severities`` in the order of the file's grades, healthy first."""

    organ: str
    reference: str
    severities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Targets:
    """What is evaluated. ``others`` are things that the file says beside its labels, and nothing scores."""

    labels: tuple[Target, ...] = ()
    organs: tuple[OrganTarget, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


_TRAINED_ON = "the trained system learned from {what}: figures on those are of seen data and better than on new data"
_ICH = {
    rsna_2019_ich.ANY: "ICH",
    "intraparenchymal": "IPH",
    "intraventricular": "IVH",
    "subdural": "SDH",
    "epidural": "EDH",
    "subarachnoid": "SAH",
}

TARGETS: Mapping[tuple[str, str], Targets] = {
    ("spine", vindr_spinexr.NAME): Targets(
        labels=(Target(DECISION, vindr_spinexr.ABNORMAL),),
        notes=(
            _TRAINED_ON.format(what="annotations/train.csv"),
            "weights of the fusion and its threshold 0.449 were chosen by the authors on the test set",
        ),
    ),
    ("abdominal_trauma", rsna_2023.NAME): Targets(
        labels=tuple(Target(*pair) for pair in rsna_2023.INJURIES.items()),
        organs=tuple(OrganTarget(organ, organ, ("normal", "low", "high")) for organ in rsna_2023.ORGANS),
        notes=(
            _TRAINED_ON.format(what="a balanced part of this file"),
            "a patient's label is held against each scored series of the patient, as in the trained system's training",
        ),
    ),
    ("abdominal_trauma", rsna_2023.IMAGES): Targets(
        labels=(Target("bowel", "Bowel"), Target("extravasation", "Active_Extravasation")),
        notes=(_TRAINED_ON.format(what="a balanced part of this data set"),),
    ),
    ("hemorrhage", rsna_2019_ich.NAME): Targets(
        labels=tuple(Target(kind, kind) for kind in rsna_2019_ich.KINDS),
        notes=(_TRAINED_ON.format(what="a balanced part of this file"),),
    ),
    ("hemorrhage", cq500.NAME): Targets(
        labels=tuple(Target(*pair) for pair in _ICH.items()),
        others=("Category",),
        notes=("the score of a series is the highest of its slices; the network was trained on single slices",),
    ),
    ("head_ct", cq500.NAME): Targets(
        labels=tuple(Target(name, name) for name in NAMES),
        others=("Category",),
        notes=(_TRAINED_ON.format(what="211 of the 491 scans and chose its epoch on 53 others"),),
    ),
    ("covid_lung", MASKS): Targets(
        notes=(_TRAINED_ON.format(what="slices of MosMed and of Kaggle's covid19-ct-scans"),),
    ),
}


def targets_of(pipeline: str, labels_format: str) -> Targets:
    """What of ``pipeline`` is held against labels of that format.

    Raises
    ------
    WrongFormat
        Nothing is.
    """
    found = TARGETS.get((pipeline, labels_format))
    if found is None:
        fitting = [name for of, name in TARGETS if of == pipeline]
        raise WrongFormat(
            f"labels of the format {labels_format} say nothing about what {pipeline} scores;"
            f" for it there are {', '.join(fitting) or 'no formats'}"
        )
    return found
