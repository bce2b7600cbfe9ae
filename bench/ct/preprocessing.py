"""(e) A series in, how long the service's decoding and preprocessing takes, and the straightforward chains, out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.ct.chains import SERVICE, TOLERANCE, WAYS, Tensor
from bench.ct.phantoms import series, written
from bench.ct.results import Chain, SeriesTime
from bench.results import Storage
from bench.timing import alone
from radserve_devstack.phantoms.ct import PhantomKind

KINDS = {"abdominal_trauma": PhantomKind.ABDOMEN, "head_ct": PhantomKind.HEAD}
RUNS = {Storage.UNCOMPRESSED: 5, Storage.JPEG_2000: 3}
WARM_UP_SLICES = 24


def measure(pipeline: str, storage: Storage, *, slices: int, size: int, folder: Path) -> SeriesTime:
    """Time every way of ``WAYS`` through one series, each in a process of its own; files go to ``folder``.

    Raises
    ------
    RuntimeError
        Two ways make different tensors: their times would not be of the same thing.
    """
    files = series(KINDS[pipeline], slices=slices, size=size, storage=storage)
    place = written(files, folder / f"{pipeline}-{storage.name.lower()}")
    # libraries load, allocators grow: on few slices, for a run on all of them takes long
    warm_up = written(
        series(KINDS[pipeline], slices=WARM_UP_SLICES, size=size, storage=storage), Path(f"{place}-first")
    )
    found = [alone(timed, pipeline, name, place, warm_up, runs=RUNS[storage]) for name in WAYS[pipeline]]
    service, *others = _compared(pipeline, found)
    return SeriesTime(pipeline, storage, slices, size, size, sum(map(len, files)), service, tuple(others))


def timed(pipeline: str, name: str, place: Path, warm_up: Path, *, runs: int) -> tuple[Chain, Tensor]:
    """The median of ``runs`` runs of one way, and its tensor."""
    way = WAYS[pipeline][name]
    way(warm_up)
    done = [way(place) for _ in range(runs)]
    tensor, steps = sorted(done, key=lambda run: sum(run[1].values()))[runs // 2]
    return Chain(name, sum(steps.values()), steps, runs, difference=0.0), tensor


def _compared(pipeline: str, found: list[tuple[Chain, Tensor]]) -> Iterator[Chain]:
    """The chains with their difference from the first one, which is the service's."""
    service = found[0][1]
    for chain, tensor in found:
        yield replace(chain, difference=difference(pipeline, chain.name, service, tensor))


def difference(pipeline: str, name: str, service: Tensor, other: Tensor) -> float:
    """The largest difference of two tensors; RuntimeError when it is over the tolerance."""
    if service.shape != other.shape or service.dtype != other.dtype:
        raise RuntimeError(f"{pipeline}: {name} makes {other.shape} {other.dtype}, {SERVICE} {service.shape}")
    largest = float(np.abs(service.astype(np.float64) - other).max())
    if not largest <= TOLERANCE[pipeline]:
        raise RuntimeError(f"{pipeline}: {name} differs from {SERVICE} by {largest:g}: they do not do the same")
    return largest
