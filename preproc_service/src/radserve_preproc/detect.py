"""What was asked about the detector and what the classifiers decided in; whether it runs, and why, out."""

from __future__ import annotations

from enum import StrEnum

from radserve_contract.findings import Decision


class Detect(StrEnum):
    """When the detector looks for lesions. It costs several times the classifiers, and most films are normal."""

    AUTO = "auto"
    """On positive studies, as the trained system does."""
    ALWAYS = "always"
    NEVER = "never"

    def applies_to(self, decision: Decision) -> bool:
        """Whether the detector is asked about a study with that decision."""
        return self is Detect.ALWAYS or (self is Detect.AUTO and decision.positive)

    def reason(self, decision: Decision) -> str:
        """Why it was, or was not, in words for the answer."""
        return f"the study is {decision.label}" if self is Detect.AUTO else f"detect={self.value}"
