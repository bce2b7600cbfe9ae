"""(i) Many CT requests to the running service, and its resident memory on the way."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import cycle, islice

import httpx

from bench.ct.phantoms import series, zipped
from bench.ct.results import ServiceMemory
from bench.results import Storage
from radserve_contract.pipelines import hemorrhage
from radserve_devstack.phantoms.ct import PhantomKind

EVERY = 50
SERIES_SLICES = 8
WHAT = f"a head CT slice of 512 x 512 and a zipped series of {SERIES_SLICES}, JPEG 2000, in turn to `hemorrhage`"
RESIDENT = "process_resident_memory_bytes"
TIMEOUT_S = 120.0


def measure(service_url: str, *, requests: int) -> ServiceMemory:
    """One request after the other; HTTPStatusError when one is not answered."""
    with httpx.Client(base_url=service_url, timeout=TIMEOUT_S, trust_env=False) as client:
        return ServiceMemory(WHAT, tuple(_after_requests(client, requests)))


def _after_requests(client: httpx.Client, requests: int) -> Iterator[tuple[int, int]]:
    slices = series(PhantomKind.HEAD, slices=SERIES_SLICES, size=512, storage=Storage.JPEG_2000)
    uploads = (slices[0], zipped(slices, zipfile.ZIP_STORED))
    for number, upload in enumerate(islice(cycle(uploads), requests), 1):
        answered = client.post(f"/v1/pipelines/{hemorrhage.SPEC.name}/predict", files={"file": ("study", upload)})
        answered.raise_for_status()
        if number % EVERY == 0:
            yield number, resident_bytes(client.get("/metrics").raise_for_status().text)


def resident_bytes(metrics: str) -> int:
    """Resident memory from the service's Prometheus page; ValueError when it does not say."""
    values = [line.split()[1] for line in metrics.splitlines() if line.split(" ")[0] == RESIDENT]
    if len(values) != 1:
        raise ValueError(f"the service's metrics have {len(values)} lines of {RESIDENT}; wanted one")
    return int(float(values[0]))
