"""The results of a benchmark run in; what each kind of study costs, in core seconds and bytes, out.

A core second is a core's whole attention for a second. ``cores / throughput`` of a measurement that keeps all cores
busy is what an item costs. Where a measurement did not keep them busy (a stall), the cost comes out too high: capacity
figures then err on the safe side.

- **Film, the service's part**: CPU time of decoding and preprocessing, measured alone.
- **Film, Triton's part**: what is left of ``cores / (c)``, (c) being the best throughput of the whole service,
  without the load generator's share. It holds gRPC, HTTP and waiting as well. At least what (b), the classification
  alone, costs. Of an abnormal film that is the first call, and the rest is the second, the detector's.
- **CT, the service's part**: (e), wall seconds times cores over slices. Two of the series are measured; another
  pipeline's slices are taken to cost what they cost in the series of ``DECODES_LIKE``: all are 512 x 512.
- **CT, Triton's part**: (f), items at the best throughput; one item a slice, or one a study (with its mirror images).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from bench.ct.results import CtResults
from bench.ratios import JSON, best, core_time, service_run
from bench.results import Results, Storage
from radserve_contract.ct import OrganGradingProfile, VolumeLabelsProfile
from radserve_contract.pipelines import PIPELINES, spine

Found = TypeVar("Found")

DECODES_LIKE = {
    "abdominal_trauma": "abdominal_trauma",
    "covid_lung": "abdominal_trauma",
    "head_ct": "head_ct",
    "hemorrhage": "head_ct",
}


_CLASSIFIERS = {f"{spine.SPEC.name}_{member}" for member in spine.WEIGHTS}


class NotMeasured(LookupError):
    """A study whose cost the results do not hold; the message says which measurement is missing."""


@dataclass(frozen=True, slots=True)
class StudyCost:
    """What one study costs.

    ``service_s`` are core seconds of decoding and preprocessing; ``calls_s`` those of each call of Triton, in turn;
    ``size_bytes`` is the upload. ``slices`` is 0 for a film. ``spread`` is how many cores one Triton can give to such
    studies, however many it has: its networks have one instance each, with so many threads.
    """

    name: str
    pipeline: str
    storage: Storage
    slices: int
    service_s: float
    calls_s: tuple[float, ...]
    size_bytes: int
    spread: int

    @property
    def triton_s(self) -> float:
        """Core seconds of all calls."""
        return sum(self.calls_s)

    @property
    def total_s(self) -> float:
        """Core seconds of everything."""
        return self.service_s + self.triton_s

    def per_hour(self, utilisation: float) -> float:
        """Studies that one core does in an hour when it is busy for that share of it."""
        return 3600 * utilisation / self.total_s


def film(results: Results, kind: str, storage: Storage) -> StudyCost:
    """A ``"normal"`` or ``"abnormal"`` film of the size that was measured.

    Raises
    ------
    NotMeasured
        The run has no such film.
    """
    what = f"{kind} film, {storage}"
    try:
        run, own_s = service_run(results, kind, JSON, storage), core_time(results, kind, storage).total_s
    except ValueError:
        raise NotMeasured(f"{what}: no measurement (c) or no core time") from None
    cores = results.machine.cores
    classify_s = cores / best(results.triton.rows)
    triton_s = cores / best(run.rows) - own_s - run.generator_core_s
    detect_s = triton_s - classify_s
    is_one_call = kind == "normal" or detect_s <= 0
    sizes = [one.size_bytes for one in results.films if one.kind == kind]
    return StudyCost(
        name=f"spine film, {kind}",
        pipeline="spine",
        storage=storage,
        slices=0,
        service_s=own_s,
        calls_s=(max(triton_s, classify_s),) if is_one_call else (classify_s, detect_s),
        size_bytes=min(sizes) if storage is Storage.JPEG_2000 else max(sizes),  # they hold the same pixels
        spread=sum(int(model.threads) for model in results.models if model.name in _CLASSIFIERS),
    )


def ct(results: CtResults, pipeline: str, storage: Storage, *, slices: int) -> StudyCost:
    """A CT of so many slices of 512 x 512.

    Raises
    ------
    NotMeasured
        The run has no such series or network.
    """
    like = DECODES_LIKE[pipeline]
    series = _one(
        (one for one in results.series if (one.pipeline, one.storage) == (like, storage)), f"(e), {like}, {storage}"
    )
    network = _one((one for one in results.networks if one.model.name == pipeline), f"(f), {pipeline}")
    item_s = results.machine.cores / max(line.load.films_per_s for line in network.triton)
    return StudyCost(
        name=f"CT of {slices} slices, {pipeline}",
        pipeline=pipeline,
        storage=storage,
        slices=slices,
        service_s=series.service.seconds * results.machine.cores / series.slices * slices,
        calls_s=tuple(item_s * items for items in calls(pipeline, slices)),
        size_bytes=round(series.size_bytes / series.slices * slices),
        spread=int(network.model.threads),
    )


def calls(pipeline: str, slices: int) -> tuple[int, ...]:
    """Items of each call that the default profile makes of a study, in turn: full batches where it runs by slices."""
    (spec,) = (spec for spec in PIPELINES if spec.name == pipeline)
    profile = spec.profile()
    if isinstance(profile, OrganGradingProfile):
        return (1 + len(profile.flips),)
    if isinstance(profile, VolumeLabelsProfile):
        return (1,)
    full, rest = divmod(slices, profile.models[0].max_batch_size)
    return (profile.models[0].max_batch_size,) * full + ((rest,) if rest else ())


def _one(found: Iterable[Found], what: str) -> Found:
    """The only one there is; NotMeasured, naming ``what`` is missing, when there is none."""
    for one in found:
        return one
    raise NotMeasured(f"{what}: not in this run")
