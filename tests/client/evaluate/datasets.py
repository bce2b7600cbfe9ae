"""Results as ``radserve score`` writes them, made by hand for tests: only the columns that matter are given."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from radserve_client.score.schema import results_schema

Row = dict[str, Any]

DIGESTS = {"spine_resnet50": "aa" * 32, "head_ct": "bb" * 32, "hemorrhage": "cc" * 32, "abdominal_trauma": "dd" * 32}
NETWORKS = {"spine": "spine_resnet50"}


def model(name: str, digest: str | None = None, *, trained: bool | None = True) -> Row:
    return {
        "name": name,
        "version": "1",
        "digest": digest or DIGESTS.get(name, "ee" * 32),
        "trained": trained,
        "architecture": "",
    }


def judgement(probability: float, threshold: float = 0.5, comparison: str = ">") -> Row:
    positive = probability > threshold if comparison == ">" else probability >= threshold
    return {"positive": positive, "probability": probability, "threshold": threshold, "comparison": comparison}


def scored(path: str, pipeline: str, *, trained: bool = True, **columns: Any) -> Row:
    """A row with an answer."""
    return {
        **_common(path, pipeline),
        "status": "ok",
        "trained": trained,
        "content_sha256": hashlib.sha256(path.encode()).hexdigest(),
        "models": [model(NETWORKS.get(pipeline, pipeline), trained=trained)],
        **columns,
    }


def failed(source: str, pipeline: str, code: str = "CORRUPT_DICOM", **columns: Any) -> Row:
    """A row without one."""
    return {**_common(source, pipeline), "status": "failed", "error_code": code, **columns}


def _common(source: str, pipeline: str) -> Row:
    return {
        "item_key": hashlib.blake2b(f"{source} {pipeline}".encode(), digest_size=16).hexdigest(),
        "source": source,
        "fingerprint": "1",
        "pipeline": pipeline,
        "profile": "deployed",
        "via": "service",
        "run_id": "run",
        "scored_at": datetime(2026, 1, 1, tzinfo=UTC),
        "size_bytes": 1,
        "transient": False,
    }


def film(image: str, probability: float, threshold: float = 0.449, comparison: str = ">", **columns: Any) -> Row:
    """A spine film ``<image>.dicom`` with that score."""
    called = judgement(probability, threshold, comparison)
    decision = {"label": "abnormal" if called["positive"] else "normal", **called}
    return scored(f"/films/{image}.dicom", "spine", **{"decision": decision, **columns})


def labels(probabilities: Mapping[str, float], threshold: float = 0.5, comparison: str = ">") -> list[Row]:
    """The column ``labels``."""
    return [
        {"name": name, "status": "", "slice": None, **judgement(probability, threshold, comparison)}
        for name, probability in probabilities.items()
    ]


def organ(name: str, severity: str, probabilities: Sequence[float]) -> Row:
    """An entry of ``organs``; probabilities of normal, low, high."""
    grades = zip(("normal", "low", "high"), probabilities, strict=True)
    return {
        "name": name,
        "status": severity,
        "severity": severity,
        "confidence": max(probabilities),
        "probabilities": [{"severity": grade, "probability": value} for grade, value in grades],
    }


def write(folder: Path, rows: Iterable[Row], manifest: pa.Schema | None = None) -> Path:
    """``folder/results/part-000001.parquet``; returns ``folder``, as ``radserve score --out`` is given."""
    schema = results_schema(manifest)
    (folder / "results").mkdir(parents=True, exist_ok=True)
    number = len([*folder.glob("results/*.parquet")]) + 1
    table = pa.Table.from_pylist([*rows], schema=schema)
    pq.write_table(table, folder / "results" / f"part-{number:06d}.parquet")
    return folder


def csv(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join((header, *lines, "")))
    return path
