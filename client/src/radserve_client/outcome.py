"""One input file, what came of it: the value that tables and JSON lines are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from radserve_client.answer import Answer
from radserve_client.errors import ClientError


class ExitCode(IntEnum):
    """What the ``radserve`` command tells the shell (client/README.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SOME_FAILED = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, or the error instead of it; ``overlay`` is the PNG that was written."""

    file: Path
    answer: Answer | None = None
    error: ClientError | None = None
    overlay: Path | None = None

    def members(self) -> dict[str, float]:
        """Probability by member network; empty without an answer."""
        return {score.name: score.probability for score in self.answer.findings.scores} if self.answer else {}

    def summary(self) -> str:
        """One line of progress: the file, and its result or the error."""
        if self.error:
            return f"{self.file}: {self.error.code}: {self.error.message}"
        if self.answer is None:
            return str(self.file)
        decision = self.answer.findings.decision
        return f"{self.file}: {decision.label} {decision.probability:.4f}"

    def as_document(self) -> dict[str, Any]:
        """A line of ``--json``: the file and its ``findings`` or its ``error``."""
        document: dict[str, Any] = {"file": str(self.file)}
        if self.answer:
            document["findings"] = dict(self.answer.document)
        if self.overlay:
            document["overlay"] = str(self.overlay)
        if self.error:
            document["error"] = self.error.as_document()
        return document


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """OK when all went well, FAILED when nothing did, else SOME_FAILED."""
    failed = sum(outcome.error is not None for outcome in outcomes)
    if not failed:
        return ExitCode.OK
    return ExitCode.FAILED if failed == len(outcomes) else ExitCode.SOME_FAILED
