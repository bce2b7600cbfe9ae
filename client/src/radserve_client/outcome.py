"""One input file, what came of it: the value that tables and JSON lines are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from radserve_client.answer import Answer
from radserve_client.errors import ClientError
from radserve_contract.findings import Findings, Segmentation


class ExitCode(IntEnum):
    """What the ``radserve`` command tells the shell (client/README.md; the last two before 130: docs/score.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SOME_FAILED = 3
    MODELS_CHANGED = 4
    OUTPUT_LOCKED = 5
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, or the error instead of it; ``overlay`` and ``mask`` are the files that were written."""

    file: Path
    answer: Answer | None = None
    error: ClientError | None = None
    overlay: Path | None = None
    mask: Path | None = None

    def members(self) -> dict[str, float]:
        """Probability by member network; empty without an answer."""
        return {score.name: score.probability for score in self.answer.findings.scores} if self.answer else {}

    def judged(self) -> dict[str, float]:
        """Probability by label or ``organ:severity``, of what was judged one by one; empty without an answer."""
        if self.answer is None:
            return {}
        findings = self.answer.findings
        organs = {f"{organ.name}:{organ.severity}": organ.confidence for organ in findings.organs}
        return {label.name: label.probability for label in findings.labels} | organs

    def summary(self) -> str:
        """One line of progress: the file, and its result or the error."""
        if self.error:
            return f"{self.file}: {self.error.code}: {self.error.message}"
        if self.answer is None:
            return str(self.file)
        return f"{self.file}: {headline(self.answer.findings)}"

    def as_document(self) -> dict[str, Any]:
        """A line of ``--json``: the file and its ``findings`` or its ``error``."""
        document: dict[str, Any] = {"file": str(self.file)}
        if self.answer:
            document["findings"] = dict(self.answer.document)
        if self.overlay:
            document["overlay"] = str(self.overlay)
        if self.mask:
            document["mask"] = str(self.mask)
        if self.error:
            document["error"] = self.error.as_document()
        return document


def headline(findings: Findings) -> str:
    """What was found, in a few words: the decision, the risk, what is marked, or the labels that are positive."""
    if findings.risk is not None:
        return f"risk {findings.risk}"
    if findings.segmentation is not None:
        return _marked(findings.segmentation)
    if findings.decision is None:
        return ", ".join(label.name for label in findings.labels if label.positive) or "no finding"
    return f"{findings.decision.label} {findings.decision.probability:.4f}"


def _marked(found: Segmentation) -> str:
    """The marked share, and how much that is where the study says how large its pixels are."""
    share = f"{found.label} {found.fraction:.2%}"
    if found.volume_ml is not None:
        return f"{share}, {found.volume_ml:.1f} ml"
    return share if found.area_mm2 is None else f"{share}, {found.area_mm2:.0f} mm2"


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """OK when all went well, FAILED when nothing did, else SOME_FAILED."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    if not failed:
        return ExitCode.OK
    return ExitCode.FAILED if failed == len(outcomes) else ExitCode.SOME_FAILED
