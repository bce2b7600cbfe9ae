"""Triton's own statistics: how many requests a model has run, and in how many executions."""

from __future__ import annotations

from dataclasses import dataclass

import httpx


@dataclass(frozen=True, slots=True)
class Ran:
    """``inferences`` counts requests (of batch 1), ``executions`` the batches in which they ran."""

    inferences: int
    executions: int

    def __sub__(self, earlier: Ran) -> Ran:
        return Ran(self.inferences - earlier.inferences, self.executions - earlier.executions)


def ran(http_url: str, model: str) -> Ran:
    """What ``model`` has run since the server at ``http_url`` started. Warm-up is not counted."""
    response = httpx.get(f"{http_url}/v2/models/{model}/stats", trust_env=False)
    (statistics,) = response.raise_for_status().json()["model_stats"]
    return Ran(statistics["inference_count"], statistics["execution_count"])
