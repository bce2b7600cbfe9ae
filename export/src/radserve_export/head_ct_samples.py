"""Head CT phantoms in, what the networks see of them out: windows of 28 slices. No file is read and no patient seen."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from radserve_contract.pipelines.head_ct import DEPLOYED, SIZE, SLICES, WINDOWS
from radserve_devstack.phantoms.ct import ct_phantom

Hounsfield = npt.NDArray[np.float32]
Unit = npt.NDArray[np.float32]
Stack = npt.NDArray[np.uint8]

SEED = 28
PHANTOM_SLICES = 32
"""Of the phantom's 160 mm, so 5 mm apart as after reslicing; the middle 28 are seen."""


@cache
def scans() -> tuple[Hounsfield, ...]:
    """Heads no two alike, each ``(28, 224, 224)`` HU in display orientation, lowest slice first.

    The phantom without and with its lesion; then the lesion on the other side, a small head between empty slices, a
    noisy one, one in which everything is denser.
    """
    start = (PHANTOM_SLICES - SLICES) // 2
    quiet, lesion = (
        ct_phantom("head", slices=PHANTOM_SLICES, size=SIZE, lesion=kind)
        .volume[start : start + SLICES]
        .astype(np.float32)
        for kind in (False, True)
    )
    small = np.full_like(quiet, DEPLOYED.reslice.padding_hu)
    small[7:21, 56:168, 56:168] = quiet[::2, ::2, ::2]
    noisy = quiet + np.random.default_rng(SEED).normal(0, 25, quiet.shape).astype(np.float32)
    return quiet, lesion, lesion[:, :, ::-1].copy(), small, noisy, np.where(lesion > 0, lesion + 30, lesion)


def windowed(scan: Hounsfield) -> Unit:
    """``(28, 224, 224)`` HU through the contract's windows, unrounded: ``(28, 3, 224, 224)`` in 0..1."""
    channels = [(scan - (window.center - window.width / 2)) / window.width for window in WINDOWS]
    unit: Unit = np.clip(np.stack(channels, axis=1), 0, 1).astype(np.float32)
    return unit


def rounded(unit: Unit) -> Stack:
    """0..1 as the wire carries it: times 255, to the nearest whole number."""
    return np.rint(unit * 255).astype(np.uint8)


def verification_stacks(count: int) -> Stack:
    """The first ``count`` scans as the wire carries them, ``(count, 28, 3, 224, 224)``."""
    return np.stack([rounded(windowed(scan)) for scan in scans()[:count]])
