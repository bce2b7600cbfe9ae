"""A size in, films and made-up predictions out for holding an exported detector against ultralytics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from radserve_export.letterbox import letterbox
from radserve_export.sample_images import SEED, Pixels, grainy, noise, phantom

CROWDS = (0, 1, 30, 300, 1500)
"""Candidate boxes over the floor in one made-up image."""


def detector_images(size: int, count: int) -> Pixels:
    """``count`` pictures no two alike, ``(count, 1, size, size)`` uint8; the first two are the letterboxed phantoms."""
    abnormal, normal = (letterbox(phantom(kind), size)[0] for kind in (True, False))
    pictures = [
        abnormal,
        normal,
        letterbox(np.ascontiguousarray(phantom(True).T), size)[0],
        255 - normal,
        noise(size, grain=16, seed=SEED),
        abnormal[:, ::-1],
        grainy(abnormal, amplitude=6, seed=SEED),
        np.zeros((size, size), np.uint8),
    ]
    pictures += [noise(size, grain=8, seed=SEED + number) for number in range(len(pictures), count)]
    return np.ascontiguousarray(np.stack(pictures[:count])[:, None])


def made_up_predictions(count: int, classes: int, anchors: int) -> npt.NDArray[np.float32]:
    """Crowded predictions ``(count, 4 + classes, anchors)``, seeded: many overlaps, equal scores, an empty image.

    Image ``i`` has ``CROWDS[i]`` candidates, in turn. Half of the scores are one of sixteen values, so that the order
    of equal ones matters too.
    """
    random = np.random.default_rng(SEED)
    predictions = random.uniform(0, 0.1, (count, 4 + classes, anchors)).astype(np.float32)
    predictions[:, :2] = random.uniform(150, 450, (count, 2, anchors))
    predictions[:, 2:4] = random.uniform(60, 90, (count, 2, anchors))
    for image in range(count):
        crowd = min(CROWDS[image % len(CROWDS)], anchors)
        chosen = random.permutation(anchors)[:crowd]
        scores = random.uniform(0.1, 1, crowd)
        scores[::2] = np.round(scores[::2] * 16) / 16
        predictions[image, 4 + random.integers(0, classes, crowd), chosen] = scores
    return predictions
