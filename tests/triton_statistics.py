"""Triton's own statistics: how many requests a model has run, and in how many executions."""

from __future__ import annotations

import time
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

QUIET_S = 0.3
LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    """``inferences`` counts requests (of batch 1), ``executions`` the batches in which they ran."""

    inferences: int
    executions: int

    def __sub__(self, earlier: Ran) -> Ran:
        return Ran(self.inferences - earlier.inferences, self.executions - earlier.executions)


def ran(http_url: str, model: str) -> Ran:
    """What ``model`` has run since the server at ``http_url`` started. Warm-up is not counted."""
    response = httpx.get(f"{http_url}/v2/models/{model}/stats", trust_env=False, timeout=60)
    (statistics,) = response.raise_for_status().json()["model_stats"]
    return Ran(statistics["inference_count"], statistics["execution_count"])


def ran_in_the_end(http_url: str, model: str, *, at_least: int = 0) -> Ran:
    """The same when it does not change any more: Triton counts a request a moment after it has answered it.

    ``at_least`` so many inferences are waited for.
    """
    until = time.monotonic() + LIMIT_S
    found = ran(http_url, model)
    while True:
        time.sleep(QUIET_S)  # whatever else is under way shows by then
        before, found = found, ran(http_url, model)
        if found == before and found.inferences >= at_least:
            return found
        assert time.monotonic() < until, f"{model} ran {found}, wanted {at_least} inferences and rest"


def pending(metrics_url: str, model: str) -> int:
    """Requests that wait in Triton's own queue of ``model``."""
    text = httpx.get(metrics_url, trust_env=False, timeout=60).text
    (family,) = (f for f in text_string_to_metric_families(text) if f.name == "nv_inference_pending_request_count")
    return round(sum(item.value for item in family.samples if item.labels["model"] == model))
