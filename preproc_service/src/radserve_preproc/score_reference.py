"""A file of recorded scores in, one gauge per bin of them out: what ``radserve_score`` should look like.

A site records the file from its own Prometheus (``python -m radserve_preproc.record_reference``) and names it in
RADSERVE_SCORE_REFERENCE. monitoring/rules/radserve-drift.yaml compares the two; docs/runbooks/RadserveScoreDrift.md
has the arithmetic. A reference counts only for the very models it was recorded of.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from radserve_contract.findings import ModelIdentity
from radserve_preproc.settings import ConfigurationError

FORMAT = 1
MIN_STUDIES = 500
"""Fewer studies say too little of 20 bins, in the reference as in the day that is compared with it."""
SCORE_EDGES = tuple(step / 20 for step in range(1, 21))
"""Upper edges of the bins of ``radserve_score``; the first bin begins at 0 and includes it."""
EDGE_NAMES: tuple[str, ...] = tuple(map(floatToGoString, SCORE_EDGES))
"""The same as the label ``le`` has them."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How the scores of one finding lay: ``shares`` per bin of ``SCORE_EDGES``, adding up to 1, of so many studies."""

    studies: int
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The scores of one profile, by finding, and the SHA-256 of each model (by name) that gave them."""

    pipeline: str
    profile: str
    models: Mapping[str, str]
    findings: Mapping[str, Distribution]

    def is_of(self, identities: Iterable[ModelIdentity]) -> bool:
        """Whether its models are among these."""
        known = {(identity.name, identity.digest) for identity in identities}
        return set(self.models.items()) <= known


def read_references(path: str) -> tuple[Reference, ...]:
    """The references of a file; none when ``path`` is empty.

    Raises
    ------
    ConfigurationError
        The file cannot be read or is no such file; the message says what is wrong with it.
    """
    if not path:
        return ()
    try:
        return as_references(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(f"RADSERVE_SCORE_REFERENCE: {path} cannot be used: {said}") from None


def as_references(document: Any) -> tuple[Reference, ...]:
    """The references of a parsed file.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        It is not what ``as_document`` writes.
    """
    if document["format"] != FORMAT:
        raise ValueError(f"format is {document['format']!r}, wanted {FORMAT}; record it anew with this release")
    if document["edges"] != list(SCORE_EDGES):
        raise ValueError("its bins are not those of radserve_score; record it anew with this release")
    return tuple(_reference(entry) for entry in document["references"])


def as_document(references: Iterable[Reference], *, recorded_at: str, days: int) -> dict[str, Any]:
    """The file that ``read_references`` reads, before JSON. ``recorded_at`` and ``days`` are for people."""
    return {
        "format": FORMAT,
        "recorded_at": recorded_at,
        "days": days,
        "edges": list(SCORE_EDGES),
        "references": [
            {
                "pipeline": reference.pipeline,
                "profile": reference.profile,
                "models": dict(reference.models),
                "findings": {
                    name: {"studies": found.studies, "shares": list(found.shares)}
                    for name, found in reference.findings.items()
                },
            }
            for reference in references
        ],
    }


def _reference(entry: Mapping[str, Any]) -> Reference:
    findings = {name: _distribution(name, found) for name, found in entry["findings"].items()}
    if not entry["models"]:
        raise ValueError(f"the reference of {entry['pipeline']} names no models")
    return Reference(str(entry["pipeline"]), str(entry["profile"]), dict(entry["models"]), findings)


def _distribution(name: str, found: Mapping[str, Any]) -> Distribution:
    studies, shares = int(found["studies"]), tuple(float(share) for share in found["shares"])
    if studies < MIN_STUDIES:
        raise ValueError(f"{name} was recorded of {studies} studies; fewer than {MIN_STUDIES} say too little")
    if len(shares) != len(SCORE_EDGES) or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"{name}: wanted {len(SCORE_EDGES)} shares from 0 to 1")
    if not math.isclose(sum(shares), 1, abs_tol=0.001):
        raise ValueError(f"{name}: the shares add up to {sum(shares):g}, not 1")
    return Distribution(studies, shares)


class References(Collector):
    """The gauges. ``identities`` answers which models were seen last; it is asked at every scrape."""

    def __init__(
        self, references: Iterable[Reference], identities: Callable[[], Iterable[ModelIdentity]] = tuple
    ) -> None:
        self._references = tuple(references)
        self._identities = identities

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The samples of a scrape."""
        names = ("pipeline", "profile", "finding")
        shares = GaugeMetricFamily(
            "radserve_score_reference_share",
            "Share of the reference's studies with a score over one edge, up to the other; only of the models served",
            labels=(*names, "above", "le"),
        )
        studies = GaugeMetricFamily(
            "radserve_score_reference_studies", "Studies that the reference was recorded of", labels=names
        )
        current = GaugeMetricFamily(
            "radserve_score_reference_current",
            "1 when the reference was recorded of the models that are served now, 0 when of others",
            labels=names[:2],
        )
        identities = tuple(self._identities())
        for reference in self._references:
            is_current = reference.is_of(identities)
            current.add_metric((reference.pipeline, reference.profile), is_current)
            if is_current:
                _add(shares, studies, reference)
        yield from (shares, studies, current)


def _add(shares: GaugeMetricFamily, studies: GaugeMetricFamily, reference: Reference) -> None:
    edges = ("0", *EDGE_NAMES)
    for finding, found in reference.findings.items():
        labels = (reference.pipeline, reference.profile, finding)
        studies.add_metric(labels, found.studies)
        for (above, le), share in zip(itertools.pairwise(edges), found.shares, strict=True):
            shares.add_metric((*labels, above, le), share)
