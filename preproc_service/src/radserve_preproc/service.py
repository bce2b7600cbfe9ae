"""Settings in, the parts that every request shares out."""

from __future__ import annotations

from dataclasses import dataclass

from radserve_contract.spec import PipelineSpec
from radserve_preproc.admission import Admission
from radserve_preproc.capacity import capacity_of
from radserve_preproc.catalogue import Catalogue
from radserve_preproc.cores import usable_cores
from radserve_preproc.cpu import CpuPool
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.log import Hasher
from radserve_preproc.metrics import Metrics
from radserve_preproc.settings import Settings
from radserve_preproc.slots import Slots
from radserve_preproc.triton import Triton
from radserve_preproc.uploads import UploadBudget


@dataclass(frozen=True, slots=True)
class Service:
    """One of each, for the life of the process. ``networks`` are the slots before Triton."""

    settings: Settings
    pipelines: tuple[PipelineSpec, ...]
    limits: DecodeLimits
    triton: Triton
    catalogue: Catalogue
    networks: Slots
    cpu: CpuPool
    uploads: UploadBudget
    metrics: Metrics
    hasher: Hasher

    async def close(self) -> None:
        """End the threads and the connection to Triton."""
        self.cpu.close()
        await self.triton.close()


def build_service(settings: Settings, pipelines: tuple[PipelineSpec, ...], triton: Triton, metrics: Metrics) -> Service:
    """The parts, set up as the settings say. Call it on the event loop that will use them."""
    capacity = capacity_of(pipelines, batches=settings.triton_batches, in_flight=settings.triton_in_flight)
    gate = Admission(capacity, queue=settings.queue, ageing_s=settings.queue_ageing_s, observer=metrics.gate("triton"))
    metrics.expect(pipelines)
    catalogue = Catalogue(triton, refresh_s=settings.model_refresh_s)
    metrics.show_models(catalogue.known)
    return Service(
        settings=settings,
        pipelines=pipelines,
        limits=DecodeLimits(
            max_pixels=settings.image_limit_pixels,
            max_voxels=settings.volume_limit_voxels,
            max_unpacked_bytes=settings.unpacked_limit_bytes,
            threads_per_image=settings.cpu_threads or usable_cores(),
        ),
        triton=triton,
        catalogue=catalogue,
        networks=Slots(gate),
        cpu=CpuPool(
            settings.cpu_threads or usable_cores(),
            queue=settings.cpu_queue,
            ageing_s=settings.queue_ageing_s,
            observer=metrics.gate("cpu"),
        ),
        uploads=UploadBudget(
            settings.uploads_held_bytes, metrics.uploads_held.set, stat_bytes=_kept_for_stat_bytes(settings)
        ),
        metrics=metrics,
        hasher=Hasher(settings.log_hash_key.get_secret_value() if settings.log_hash_key else None),
    )


def _kept_for_stat_bytes(settings: Settings) -> int:
    """Room for one largest file, as far as any other file of that size still gets in."""
    largest_bytes = max(settings.upload_limit_bytes, settings.series_limit_bytes)
    return min(largest_bytes, settings.uploads_held_bytes - largest_bytes)
