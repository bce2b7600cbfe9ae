"""(g) One chest CT through the service: how long it takes, and how many slices Triton ran at once."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from time import perf_counter
from typing import Any

import httpx
import tritonclient.grpc as grpc

from bench.ct.phantoms import series, zipped
from bench.ct.results import VolumeRun
from radserve_contract.pipelines import covid_lung
from radserve_devstack.phantoms.ct import PhantomKind

TIMEOUT_S = 300.0


def measure(service_url: str, triton_address: str, *, slices: int, size: int) -> VolumeRun:
    """Send one volume to ``covid_lung`` as a zip; HTTPStatusError when it is not answered."""
    archive = zipped(series(PhantomKind.CHEST, slices=slices, size=size), zipfile.ZIP_STORED)
    pipeline, network = covid_lung.SPEC.name, covid_lung.NETWORK.name
    before = batches(triton_address, network)
    began = perf_counter()
    answered = httpx.post(
        f"{service_url}/v1/pipelines/{pipeline}/predict",
        files={"file": ("study.zip", archive, "application/zip")},
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    seconds = perf_counter() - began
    answered.raise_for_status()
    return VolumeRun(pipeline, slices, seconds, since(before, batches(triton_address, network)))


def batches(triton_address: str, model: str) -> dict[int, int]:
    """How often ``model`` has run on so many items at once, since it was loaded."""
    with grpc.InferenceServerClient(triton_address) as client:
        statistics = client.get_inference_statistics(model)
    return counts(statistics)


def counts(statistics: Any) -> dict[int, int]:
    """Runs by batch size of the one model in Triton's answer."""
    (model,) = statistics.model_stats
    return {int(each.batch_size): int(each.compute_infer.count) for each in model.batch_stats}


def since(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """What has been added, ascending by batch size; sizes that were not run are left out."""
    added = {size: count - before.get(size, 0) for size, count in sorted(after.items())}
    return {size: count for size, count in added.items() if count}
