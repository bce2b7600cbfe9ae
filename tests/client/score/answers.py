"""Answers of the five pipelines as the service renders them, made of findings with numbers that a test can name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from radserve_client.score.identity import RunIdentity
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_contract.findings import (
    Box,
    Decision,
    Detections,
    Findings,
    ImageDescription,
    LabelFinding,
    ModelIdentity,
    Notice,
    OrganFinding,
    Score,
    Segmentation,
    SliceScores,
)
from radserve_preproc.render_json import render_json

MODELS = tuple(ModelIdentity(f"network_{n}", "1", f"{n}" * 64, False, "resnet50" if n else "") for n in range(2))
IMAGE = ImageDescription(
    "DICOM",
    2880,
    1920,
    modality="DX",
    body_part_examined="LSPINE",
    transfer_syntax_uid="1.2.840.10008.1.2.4.90",
    pixel_spacing_mm=(0.139, 0.14),
    study_instance_uid="1.2.826.0.1.1",
    series_instance_uid="1.2.826.0.1.1.2",
    sop_instance_uid="1.2.826.0.1.1.2.3",
)
VOLUME = ImageDescription(
    "CT series",
    512,
    512,
    modality="CT",
    study_instance_uid="1.2.826.0.1.9",
    series_instance_uid="1.2.826.0.1.9.1",
    slices=2,
)
PLAIN = Findings(
    pipeline="spine",
    profile="deployed",
    image=IMAGE,
    models=MODELS,
    warnings=(Notice("CLIPPED", "values were clipped"),),
    changes=("inverted",),
    timings_s={"decode": 0.25, "network_wait": 0.5},
)
LABELS = (
    LabelFinding("any", "present", True, 0.75, 0.5, ">", slice=1, definition="some bleeding"),
    LabelFinding("subdural", "absent", False, 0.25, 0.5, ">"),
)
FINDINGS = {
    "spine": replace(
        PLAIN,
        decision=Decision("abnormal", True, 0.75, 0.449, ">="),
        scores=(Score("densenet121", 0.5, "network_0"),),
        detections=Detections(True, "the film is abnormal", 0.5, (Box("Osteophytes", 0.875, 1.0, 2.0, 30.5, 40.0),)),
    ),
    "hemorrhage": replace(
        PLAIN,
        pipeline="hemorrhage",
        image=VOLUME,
        labels=LABELS,
        slices=SliceScores({"any": (0.125, 0.75)}, ("1.2.826.0.1.9.1.1", "")),
    ),
    "head_ct": replace(PLAIN, pipeline="head_ct", image=VOLUME, labels=LABELS[:1]),
    "abdominal_trauma": replace(
        PLAIN,
        pipeline="abdominal_trauma",
        image=VOLUME,
        labels=LABELS[1:],
        organs=(OrganFinding("liver", "Low Injury", "low", 0.5, {"healthy": 0.25, "low": 0.5, "high": 0.25}),),
        risk="High",
    ),
    "covid_lung": replace(
        PLAIN,
        pipeline="covid_lung",
        image=VOLUME,
        segmentation=Segmentation("infection", 0.5, ">", 0.25, None, 12.5, 0.875, (0.5, 0.0)),
    ),
}


def document(pipeline: str = "spine", **other: Any) -> dict[str, Any]:
    """The JSON of an answer."""
    return render_json(FINDINGS[pipeline], request_id="r1") | other


def run(pipeline: str = "spine", **other: Any) -> RunIdentity:
    """A run of untrained networks, through the service."""
    values: dict[str, Any] = {"run_id": "run-1", "via": "service", "models": MODELS} | other
    return RunIdentity(pipeline=pipeline, profile="deployed", **values)


def item(name: str = "film.dcm", **other: Any) -> Item:
    """A file of an archive."""
    values: dict[str, Any] = {
        "fingerprint": "100:1",
        "parts": (FilePart(f"/archive/{name}"),),
        "size_bytes": 100,
    } | other
    return Item(source=f"/archive/{name}", **values)


def scored(name: str = "film.dcm", pipeline: str = "spine", **other: Any) -> Result:
    """An item that went well; ``other`` is what Scored has more."""
    values: dict[str, Any] = {"document": document(pipeline), "content_sha256": "ab" * 32, "size_bytes": 100} | other
    return Result(item(name), Scored(**values))


def failed(name: str = "film.dcm", *, transient: bool = False, code: str = "WRONG_MODALITY") -> Result:
    """An item that did not."""
    outcome = Failed(code, f"/archive/{name} is no DX", transient, 422, "cd" * 32, 100)
    return Result(item(name), outcome)
