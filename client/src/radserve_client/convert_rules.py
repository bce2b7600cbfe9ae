"""How ``radserve convert`` reads studies: as a pipeline would that takes every body part and lets faults pass."""

from __future__ import annotations

import os

from radserve_contract import gates
from radserve_contract.spec import Accepts, BodyPartGate, PipelineSpec, Tolerance
from radserve_contract.volumes import Handling, SeriesChoice, Values, VolumeFault, VolumeRules
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.volume.archive import ArchiveLimits

# What can be mended in the grid; with --keep it is only said.
_OF_THE_GRID = frozenset({VolumeFault.GANTRY_TILT, VolumeFault.MISSING_SLICES, VolumeFault.UNEVEN_SPACING})
_NOT_TO_BE_MENDED = frozenset(
    {VolumeFault.NOT_AXIAL, VolumeFault.FEW_SLICES, VolumeFault.LOSSY_COMPRESSION, VolumeFault.NOT_HOUNSFIELD}
)

LIMITS = DecodeLimits(
    max_voxels=4 * 10**9, max_inflated_bytes=8 * 2**30, threads_per_image=len(os.sched_getaffinity(0))
)
ARCHIVE_LIMITS = ArchiveLimits(max_entries=100_000, max_entry_bytes=8 * 2**30, max_total_bytes=16 * 2**30)

KNOWN_BODY_PARTS = frozenset().union(
    *(gate.wanted | gate.unwanted for gate in (gates.HEAD, gates.CHEST, gates.ABDOMEN))
)
"""Words of Body Part Examined that may be repeated: anything else in a header could name the patient."""


def conversion(*, keep: bool) -> PipelineSpec:
    """A spec without networks; ``keep`` leaves tilt, gaps and uneven distances as they are."""
    return PipelineSpec(
        name="radserve convert",
        title="Conversion to NIfTI",
        accepts=(Accepts.CT_SERIES, Accepts.NIFTI),
        modalities=frozenset({"CT", "MR", "PT"}),
        gate=BodyPartGate(frozenset(), frozenset()),
        default_profile="",
        profiles=(),
        tolerance=Tolerance(logit=0, probability=0),
        published=(),
        volumes=VolumeRules(
            values=Values.HOUNSFIELD,
            min_slices=1,
            max_slices=20_000,
            choice=SeriesChoice(min_images=1),
            handling=tuple((fault, _handling(fault, keep=keep)) for fault in VolumeFault),
        ),
    )


def _handling(fault: VolumeFault, *, keep: bool) -> Handling:
    is_left = fault in _NOT_TO_BE_MENDED or (keep and fault in _OF_THE_GRID)
    return Handling.ACCEPT if is_left else Handling.CORRECT
