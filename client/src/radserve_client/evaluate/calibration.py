"""Probabilities against frequencies: Brier score, reliability bins, expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.metrics import brier_score_loss

from radserve_client.evaluate.values import ReliabilityBin

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Which of ten equal bins each probability is in; made once, asked for every resample.

    ``truth`` and ``probability`` are ``(n,)``; probabilities 0..1. A probability on an edge is in the upper bin, 1 in
    the last.
    """

    truth: Bools
    probability: Floats
    bin_of: npt.NDArray[np.int64] = field(init=False)
    gap: Floats = field(init=False)
    squared: Floats = field(init=False)

    def __post_init__(self) -> None:
        edges = np.arange(1, BINS) / BINS
        object.__setattr__(self, "bin_of", np.searchsorted(edges, self.probability, side="right"))
        object.__setattr__(self, "gap", self.probability - self.truth)
        object.__setattr__(self, "squared", self.gap**2)

    @property
    def brier(self) -> float:
        """Mean squared difference of probability and truth (0 or 1)."""
        return float(brier_score_loss(self.truth, self.probability, pos_label=True))

    def weighted_brier(self, weights: Floats) -> float:
        """The Brier score with a weight per row, ``(n,)``."""
        return float(self.squared @ weights / weights.sum())

    def expected_error(self, weights: Floats | None = None) -> float:
        """Mean over the rows of |mean probability - share of positives| of their bin (Naeini et al. 2015)."""
        weights = np.ones(len(self.truth)) if weights is None else weights
        by_bin = np.bincount(self.bin_of, weights * self.gap, minlength=BINS)
        return float(np.abs(by_bin).sum() / weights.sum())

    def bins(self) -> tuple[ReliabilityBin, ...]:
        """The ten bins; of an empty one there is no mean."""
        rows = np.bincount(self.bin_of, minlength=BINS)
        probabilities = np.bincount(self.bin_of, self.probability, minlength=BINS)
        positives = np.bincount(self.bin_of, self.truth, minlength=BINS)
        return tuple(
            ReliabilityBin(
                low=number / BINS,
                high=(number + 1) / BINS,
                rows=int(count),
                mean_probability=float(probabilities[number] / count) if count else None,
                positive_fraction=float(positives[number] / count) if count else None,
            )
            for number, count in enumerate(rows)
        )
