"""Whole patients drawn with replacement: what an interval of any figure is made of.

Two images of one patient are alike, so drawing images would make intervals too narrow. A resample is a weight per
image: how often its patient was drawn (Efron and Tibshirani 1993, 8.3: the unit that is independent is resampled).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from radserve_client.evaluate.values import Estimate, Interval, Resampling

Codes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]

USABLE_SHARE = 0.5
"""An interval that rests on fewer of the resamples would describe those that happened to have a value."""


def weights(patients: Codes, resampling: Resampling) -> Iterator[Weights]:
    """``resampling.resamples`` times ``(n,)`` weights: how often the patient of each unit was drawn; the mean is 1.

    The same seed and the same patients give the same weights, whatever figure they are for. Of fewer than two patients
    there is nothing to draw: then there are none.

    Parameters
    ----------
    patients
        ``(n,)`` codes of patients from 0 on without gaps.
    """
    count = int(patients.max()) + 1 if len(patients) else 0
    if count < 2:
        return
    generator = np.random.default_rng(resampling.seed)
    for _ in range(resampling.resamples):
        drawn = np.bincount(generator.integers(0, count, count), minlength=count)
        yield drawn[patients].astype(np.float64)


def estimate(
    value: float | None, resampled: Iterable[float | None], resampling: Resampling, undefined: str = ""
) -> Estimate:
    """A figure with its percentile interval.

    ``resampled`` has the figure of each resample; None or NaN where it was not defined: those are counted and left
    out. There is no interval where the figure itself is not defined, or fewer than half of the resamples are usable.
    """
    if value is None or math.isnan(value):
        return Estimate(None, undefined=undefined or "not defined")
    everything = np.array([math.nan if drawn is None else drawn for drawn in resampled], dtype=np.float64)
    usable = everything[~np.isnan(everything)]
    degenerate = len(everything) - len(usable)
    if not len(usable) or len(usable) < USABLE_SHARE * len(everything):
        return Estimate(float(value), None, len(usable), degenerate)
    tail = (1 - resampling.confidence) / 2
    low, high = np.quantile(usable, (tail, 1 - tail))
    return Estimate(float(value), Interval(float(low), float(high), resampling.confidence), len(usable), degenerate)
