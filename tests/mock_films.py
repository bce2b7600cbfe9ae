"""Films for the mock networks (mock_models/model.py): their mean grey level chooses the answer."""

from __future__ import annotations

import numpy as np

from tests.dicom_files import make_radiograph


def flat_film(grey: int) -> bytes:
    """A film that is ``grey`` (0 to 255) after the pipeline's scaling, but for one black and one white pixel."""
    pixels = np.full((320, 256), grey * 16, np.uint16)
    pixels[0, 0], pixels[0, 1] = 0, 255 * 16
    return make_radiograph(pixels)


NORMAL = flat_film(20)
SLOW = flat_film(96)
"""Normal too, but it keeps the mock busy for ``slow_s``, or until a test lets it go (mock_repository.py)."""
ABNORMAL = flat_film(180)
NAN = flat_film(254)
