"""The VOI module of a header in, a function from stored to display values out (PS3.3 C.11.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_voi_lut

from radserve_contract.findings import Notice
from radserve_preproc.image import Window
from radserve_preproc.notices import NoticeCode, notice


def unchanged(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The window of an image that has none."""
    return values


def voi_window(ds: Dataset) -> tuple[Window, tuple[str, ...], tuple[Notice, ...]]:
    """The first VOI LUT of ``ds``, else its first window, else ``unchanged``; with what is done, and what could not be.

    As the converter of the training data does, it is laid on stored values: Rescale and Modality LUT are not applied
    before it.
    """

    def window(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        # A sigmoid far from its centre overflows to the infinity that it means.
        with np.errstate(over="ignore"):
            return apply_voi_lut(values, ds)

    probe = np.arange(2)
    try:
        shown = window(probe)
        is_usable = bool(np.isfinite(shown).all())
    except Exception:  # pydicom raises what it likes on a broken VOI module
        is_usable = False
    if not is_usable:
        return unchanged, (), (_not_applied(),)
    return (unchanged, (), ()) if shown is probe else (window, ("VOI LUT or window applied",), ())


def _not_applied() -> Notice:
    return notice(
        NoticeCode.VOI_LUT_NOT_APPLIED,
        "the VOI LUT (0028,3010) or window (0028,1050), (0028,1051) of the header cannot be applied; the stored values"
        " were used as they are",
    )
