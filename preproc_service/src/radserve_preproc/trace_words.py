"""The pipelines that are served in, every word that a span may carry out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from radserve_contract.priority import Priority
from radserve_contract.spec import PipelineSpec
from radserve_preproc.detect import Detect
from radserve_preproc.entry import METHODS, NONE
from radserve_preproc.error_docs import all_codes

CANCELLED = "CANCELLED"
"""Code of a step whose request had ended: the client hung up, or the deadline passed."""
CLIENT_GONE_CODE = "CLIENT_GONE"

Words = Mapping[str, tuple[str, frozenset[str | int]]]


def words_of(specs: Collection[PipelineSpec], routes: Collection[str]) -> Words:
    """For each fact its name as an OpenTelemetry attribute, and the values it may have."""
    profiles = [profile for spec in specs for profile in spec.profiles]
    return {
        "pipeline": ("radserve.pipeline", frozenset(spec.name for spec in specs)),
        "profile": ("radserve.profile", frozenset(profile.name for profile in profiles)),
        "priority": ("radserve.priority", frozenset(priority.value for priority in Priority)),
        "detect": ("radserve.detect", frozenset(detect.value for detect in Detect)),
        "model": ("radserve.model", frozenset(model.name for profile in profiles for model in profile.models)),
        "error_code": ("radserve.error_code", frozenset({*all_codes(), CANCELLED, CLIENT_GONE_CODE})),
        "method": ("http.request.method", frozenset({*METHODS, NONE})),
        "route": ("http.route", frozenset({*routes, NONE})),
        "status": ("http.response.status_code", frozenset(range(100, 600))),
    }
