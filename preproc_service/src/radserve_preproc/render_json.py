"""Findings in, the JSON answer out. Knows nothing of HTTP, and no patient's name, id or date: Findings has none."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from radserve_contract.findings import Findings
from radserve_preproc.answer import AnswerDocument

RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or treatment."
UNTRAINED = (
    "UNTRAINED: at least one network carries random weights. This answer shows that the system runs, nothing else."
)


def render_json(findings: Findings, *, request_id: str) -> dict[str, Any]:
    """The answer as plain values for JSON, in the order of ``AnswerDocument``: notices first.

    Raises
    ------
    pydantic.ValidationError
        A number is NaN or infinite, or a probability is not one: a defect, as ``fuse.py`` refuses these.
    """
    values = {
        "notices": notices(findings),
        "trained": findings.trained,
        **asdict(findings),
        "timings_s": {step: round(seconds, 6) for step, seconds in findings.timings_s.items()},
        "request_id": request_id,
    }
    return AnswerDocument.model_validate(values).model_dump(mode="json")


def notices(findings: Findings) -> list[str]:
    """What every reader must see first; UNTRAINED before anything else."""
    return [RESEARCH_USE] if findings.trained else [UNTRAINED, RESEARCH_USE]
