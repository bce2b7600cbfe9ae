"""CT phantoms and how a study of them is sent, for the end-to-end tests of the CT pipelines."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from typing import Any

from radserve_devstack.phantoms.ct import CtPhantom, ct_phantom

SLICES, SIZE = 40, 256
KINDS = {"hemorrhage": "head", "head_ct": "head", "abdominal_trauma": "abdomen", "covid_lung": "chest"}
"""Which part of the body each pipeline reads."""


@cache
def phantom(kind: str, *, lesion: bool = True) -> CtPhantom:
    """The demo's phantom of that part, drawn once."""
    return ct_phantom(kind, slices=SLICES, size=SIZE, lesion=lesion)


@cache
def series(kind: str, *, lesion: bool = True) -> tuple[bytes, ...]:
    """Its DICOM files, the lowest slice first.

    Heads are stored as signed Hounsfield units: at an intercept of -1024 the haemorrhage network, which looks at stored
    values, would see no more than their outline.
    """
    return tuple(phantom(kind, lesion=lesion).dicom_files(is_signed=kind == "head"))


def zipped(files: tuple[bytes, ...], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of the files in nested folders, with what an operating system leaves beside them."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("study/.DS_Store", b"junk")
        for number, content in enumerate(reversed(files)):
            archive.writestr(f"study/series {number % 3}/IM{number}", content)
    return file.getvalue()


def scores_of(answer: dict[str, Any]) -> dict[str, float]:
    """Every score of the study by name."""
    organs = {f"{item['name']}:{grade}": p for item in answer["organs"] for grade, p in item["probabilities"].items()}
    marked = {"fraction": answer["segmentation"]["fraction"]} if answer["segmentation"] else {}
    return {item["name"]: item["probability"] for item in answer["labels"]} | organs | marked
