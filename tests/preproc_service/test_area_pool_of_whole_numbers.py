"""Sums of whole numbers in the fastest order have the bits of torch's order; where they might not, it is kept."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_preproc.prepare import area_pool
from radserve_preproc.prepare.area_pool import area_pooled


@pytest.mark.parametrize("shape", [(9, 33, 47), (2, 16, 16), (16, 64, 64)])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8])
def test_both_ways_give_the_same_bits(shape, dtype, monkeypatch):
    limits = np.iinfo(dtype)
    pixels = np.random.default_rng(5).integers(limits.min, limits.max, shape, dtype, endpoint=True)
    fast = area_pooled(pixels, (16, 16, 8))
    monkeypatch.setattr(area_pool, "_is_exact", lambda *_: False)
    assert fast.tobytes() == area_pooled(pixels, (16, 16, 8)).tobytes()


@pytest.mark.parametrize(
    ("slices", "dtype", "exact"), [(31, np.int16, True), (32, np.int16, False), (1, np.float32, False)]
)
def test_sums_that_float32_may_round_keep_torchs_order(slices, dtype, exact):
    windows = area_pool._Windows.of(64, 16)  # boxes of 4 x 4: 31 slices of them stay below 2**24 / 2**15
    assert area_pool._is_exact(np.zeros((slices, 64, 64), dtype), windows, windows) is exact
