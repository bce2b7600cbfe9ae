"""The service's own part of the work: a film in, the core seconds of its decode and preprocessing out.

Measured with the service's functions alone in a process, by CPU time: while Triton uses the same cores, wall time would
mostly tell how long they wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time

from bench.films import PROFILE, Upload
from bench.results import CoreTime
from radserve_contract.spec import InputSpec
from radserve_preproc.tensorise import tensorise


def measure(upload: Upload, *, films: int) -> CoreTime:
    """Median core seconds over ``films`` repetitions. Only an abnormal film needs the detector's tensor."""
    image = upload.decoded()
    return CoreTime(
        film=upload.kind,
        storage=upload.storage,
        decode_s=_median_core_s(upload.decoded, films),
        tensorise_s=_median_core_s(lambda: tensorise(image, inputs_of(upload.kind)), films),
    )


def inputs_of(kind: str) -> tuple[InputSpec, ...]:
    """The tensors the service makes of a film that gets this answer."""
    detector = PROFILE.detection.input
    return tuple(spec for spec in PROFILE.inputs if kind == "abnormal" or spec.tensor.name != detector)


def _median_core_s(work: Callable[[], object], times: int) -> float:
    work()
    taken = []
    for _ in range(times):
        before = process_time()  # of every thread of this process
        work()
        taken.append(process_time() - before)
    return sorted(taken)[len(taken) // 2]
