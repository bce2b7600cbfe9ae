"""A Prometheus that watches radserve in, the file of scores that RADSERVE_SCORE_REFERENCE names out.

    python -m radserve_preproc.record_reference --prometheus http://127.0.0.1:9090 --days 28 --output reference.json

Run it when the pipelines have done good work for some weeks. Findings with too few studies are left out, and so are
profiles whose models were replaced in that time: a reference belongs to the models that gave it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import ModelKind, Profile
from radserve_preproc.score_reference import EDGE_NAMES, MIN_STUDIES, Distribution, Reference, as_document

TIMEOUT_S = 120.0
"""Prometheus reads weeks of a few hundred series for one answer."""
Samples = list[tuple[Mapping[str, str], float]]
Ask = Callable[[str], Samples]


class NotRecorded(Exception):
    """There is nothing to record, or nobody to ask; the message says which."""


@dataclass(slots=True)
class Recorded:
    """What could be recorded, and in words what could not."""

    references: list[Reference] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def prometheus(url: str) -> Ask:
    """``ask(expression)`` answers the labels and value of each sample, as of now.

    Raises, when called
    -------------------
    NotRecorded
        Nobody answers there, or not as Prometheus does.
    """
    # a monitoring system inside a hospital is not behind its web proxy
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(expression: str) -> Samples:
        query = urllib.parse.urlencode({"query": expression})
        try:
            with opener.open(f"{url.rstrip('/')}/api/v1/query?{query}", timeout=TIMEOUT_S) as response:
                results = json.load(response)["data"]["result"]
            return [(result["metric"], float(result["value"][1])) for result in results]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotRecorded(f"{url} does not answer as Prometheus does: {error}") from None

    return ask


def record(ask: Ask, *, days: int, namespace: str = "") -> Recorded:
    """The scores of the last ``days``. ``namespace`` is the Kubernetes namespace, where several are watched."""
    where = f'{{namespace="{namespace}"}}' if namespace else ""
    buckets = ask(f"sum by (pipeline, profile, finding, le) (increase(radserve_score_bucket{where}[{days}d]))")
    seen = ask(f"max by (model, digest) (max_over_time(radserve_model_info{where}[{days}d]))")
    digests = defaultdict(set)
    for labels, _ in seen:
        digests[labels["model"]].add(labels["digest"])
    recorded = Recorded()
    for name, profile in _profiles():
        _record_profile(recorded, name, profile, _by_finding(buckets, name, profile.name), digests)
    return recorded


def _profiles() -> Iterator[tuple[str, Profile]]:
    yield from ((spec.name, profile) for spec in PIPELINES for profile in spec.profiles)


def _by_finding(buckets: Samples, pipeline: str, profile: str) -> dict[str, dict[str, float]]:
    """Studies with a score up to each edge, by finding."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for labels, value in buckets:
        if (labels["pipeline"], labels["profile"]) == (pipeline, profile):
            found[labels["finding"]][labels["le"]] = value
    return found


def _record_profile(
    recorded: Recorded,
    pipeline: str,
    profile: Profile,
    findings: Mapping[str, Mapping[str, float]],
    digests: Mapping[str, set[str]],
) -> None:
    """Add the profile's reference, or why there is none; nothing at all for a profile that nobody used."""
    if not findings:
        return
    models = {
        spec.name: digests.get(spec.name, set()) for spec in profile.models if spec.kind is not ModelKind.ENSEMBLE
    }
    wrong = [name for name, seen in models.items() if len(seen) != 1]
    if wrong:
        recorded.left_out.append(
            f"{pipeline} ({profile.name}): {', '.join(wrong)} replaced, or not seen, in that time; take fewer --days"
        )
        return
    distributions = {}
    for finding, upto in findings.items():
        studies = upto.get("+Inf", 0.0)
        if studies < MIN_STUDIES:
            said = f"{pipeline} ({profile.name}), {finding}: {studies:.0f} studies, {MIN_STUDIES} are needed"
            recorded.left_out.append(said)
        else:
            distributions[finding] = _distribution(upto, studies)
    if distributions:
        of = {name: next(iter(seen)) for name, seen in models.items()}
        recorded.references.append(Reference(pipeline, profile.name, of, distributions))


def _distribution(upto: Mapping[str, float], studies: float) -> Distribution:
    counts = [0.0, *(upto[edge] for edge in EDGE_NAMES)]
    shares = tuple(max(0.0, round((high - low) / studies, 6)) for low, high in itertools.pairwise(counts))
    return Distribution(int(studies), shares)


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write the file; whoever reads it meanwhile gets the old one."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status: 0 written, 1 nothing to write."""
    options = _parser().parse_args(arguments)
    try:
        recorded = record(prometheus(options.prometheus), days=options.days, namespace=options.namespace)
        for line in recorded.left_out:
            print(f"left out: {line}", file=sys.stderr)
        _keep(recorded, options)
    except (NotRecorded, OSError) as error:
        print(f"record_reference: {error}", file=sys.stderr)
        return 1
    for reference in recorded.references:
        print(f"{reference.pipeline} ({reference.profile}): {', '.join(reference.findings)}")
    return 0


def _keep(recorded: Recorded, options: argparse.Namespace) -> None:
    if not recorded.references:
        raise NotRecorded(f"no profile has scored {MIN_STUDIES} studies in {options.days} days with the same models")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write(options.output, as_document(recorded.references, recorded_at=now, days=options.days))


def _days(text: str) -> int:
    days = int(text)
    if days < 1:
        raise argparse.ArgumentTypeError("at least one day")
    return days


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m radserve_preproc.record_reference", description=__doc__.splitlines()[0])
    parser.add_argument("--prometheus", required=True, metavar="URL", help="base URL of Prometheus")
    parser.add_argument(
        "--days", type=_days, default=28, help="how far back (Prometheus must still have it); default 28"
    )
    parser.add_argument("--namespace", default="", help="Kubernetes namespace of the release, where there are several")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
