"""What a user asks for in, the matching keys of each level out (PS3.18 10.6.1.2, PS3.4 C.6.2.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from radserve_client.score.errors import WrongUse
from radserve_client.score.sources.qido import Match, values


class Level(StrEnum):
    """Levels of the DICOM hierarchy, from above."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class Key:
    """A matching key.

    ``checked``: its values compare literally, so that a server which ignores the key is noticed. ``personal``: its
    values may tell who the patient is.
    """

    keyword: str
    tag: str
    level: Level
    checked: bool = True
    personal: bool = False


_KEYS = (
    Key("StudyDate", "00080020", Level.STUDY),
    Key("StudyTime", "00080030", Level.STUDY, checked=False),
    Key("AccessionNumber", "00080050", Level.STUDY, personal=True),
    Key("ModalitiesInStudy", "00080061", Level.STUDY),
    Key("ReferringPhysicianName", "00080090", Level.STUDY, checked=False, personal=True),
    Key("StudyDescription", "00081030", Level.STUDY, checked=False),
    Key("PatientName", "00100010", Level.STUDY, checked=False, personal=True),
    Key("PatientID", "00100020", Level.STUDY, personal=True),
    Key("PatientBirthDate", "00100030", Level.STUDY, personal=True),
    Key("PatientSex", "00100040", Level.STUDY),
    Key("StudyInstanceUID", "0020000D", Level.STUDY),
    Key("StudyID", "00200010", Level.STUDY, personal=True),
    Key("Modality", "00080060", Level.SERIES),
    Key("SeriesDescription", "0008103E", Level.SERIES, checked=False),
    Key("BodyPartExamined", "00180015", Level.SERIES),
    Key("ProtocolName", "00181030", Level.SERIES, checked=False),
    Key("SeriesInstanceUID", "0020000E", Level.SERIES),
    Key("SeriesNumber", "00200011", Level.SERIES),
    Key("SOPClassUID", "00080016", Level.INSTANCE),
    Key("SOPInstanceUID", "00080018", Level.INSTANCE),
    Key("InstanceNumber", "00200013", Level.INSTANCE),
)
_BY_NAME = {name.casefold(): key for key in _KEYS for name in (key.keyword, key.tag)}
_DATES = frozenset({"StudyDate", "PatientBirthDate"})


@dataclass(frozen=True, slots=True)
class Keys:
    """Matching keys of one level: keyword to value."""

    wanted: Mapping[Key, str] = field(default_factory=dict)

    def query(self) -> dict[str, str]:
        """The keys as a search sends them."""
        return {key.keyword: value for key, value in self.wanted.items()}

    def shown(self) -> list[str]:
        """The keys as they may be written down."""
        return [f"{key.keyword}={'(hidden)' if key.personal else value}" for key, value in self.wanted.items()]

    def fit(self, match: Match) -> bool:
        """Whether a result is one that was asked for: a server may ignore keys that it does not know.

        An attribute that the result does not have is not held against it.
        """
        return all(_fits(key, wanted, values(match, key.tag)) for key, wanted in self.wanted.items() if key.checked)


def keys_by_level(query: str) -> dict[Level, Keys]:
    """The query part of a source's URL, sorted by level.

    ``Modality`` is asked of studies too, as ModalitiesInStudy: else every study of the archive would be looked into.

    Raises
    ------
    WrongUse
        A name that is no matching key of ours, or one that stands there twice.
    """
    wanted: dict[Level, dict[Key, str]] = {level: {} for level in Level}
    for name, value in parse_qsl(query, keep_blank_values=True):
        key = _BY_NAME.get(name.casefold())
        if key is None:
            there = ", ".join(key.keyword for key in _KEYS)
            raise WrongUse(f"{name} is no key that a DICOMweb source takes; there are {there}")
        if key in wanted[key.level]:
            raise WrongUse(f"{key.keyword} stands twice in the query; for several values run once for each")
        if value:
            wanted[key.level][key] = value
    modality = wanted[Level.SERIES].get(_BY_NAME["modality"])
    if modality:
        wanted[Level.STUDY].setdefault(_BY_NAME["modalitiesinstudy"], modality)
    return {level: Keys(keys) for level, keys in wanted.items()}


def _fits(key: Key, wanted: str, found: list[Any]) -> bool:
    texts = [str(value).strip() for value in found if value is not None]
    return not texts or any(_is(key, wanted, text) for text in texts)


def _is(key: Key, wanted: str, text: str) -> bool:
    """Single value, list of UIDs, wildcard or range matching (PS3.4 C.2.2.2)."""
    if key.keyword in _DATES and "-" in wanted:
        first, _, last = wanted.partition("-")
        return (not first or first <= text) and (not last or text <= last)
    options = wanted.replace("\\", ",").split(",") if key.keyword.endswith("UID") else [wanted]
    return any(fnmatchcase(text.casefold(), option.strip().casefold().replace("[", "[[]")) for option in options)
