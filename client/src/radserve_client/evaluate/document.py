"""An evaluation in; ``evaluation.json`` and ``report.html`` out, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from radserve_client.evaluate.errors import UnwritableReport
from radserve_client.evaluate.values import Evaluation

JSON_NAME = "evaluation.json"
REPORT_NAME = "report.html"


def as_document(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain values for JSON: notices first, then the fields of ``Evaluation`` in their order."""
    return {"notices": list(evaluation.notices), **asdict(evaluation)}


def as_json(evaluation: Evaluation) -> str:
    """The document as text.

    Raises
    ------
    ValueError
        A number is NaN or infinite: a defect, as figures that are not defined are None.
    """
    return json.dumps(as_document(evaluation), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def make_folder(folder: Path) -> None:
    """``folder`` and those above it.

    Raises
    ------
    UnwritableReport
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnwritableReport(f"cannot make the folder {folder}: {error.strerror or error}") from None


def write(folder: Path, texts: Mapping[str, str]) -> tuple[Path, ...]:
    """Each text into the file of its name; a file of that name is replaced only when the new one is complete.

    Raises
    ------
    UnwritableReport
        The folder is read-only, the disk is full.
    """
    return tuple(_write(folder / name, text) for name, text in texts.items())


def _write(path: Path, text: str) -> Path:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # a path may hold bytes that are no UTF-8 (surrogates): they are written as \udcXX, never an error at the end
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise UnwritableReport(f"cannot write {path}: {error.strerror or error}") from None
    return path
