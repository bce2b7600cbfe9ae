"""Slices in, pass or refusal out: does the header say how stored values become Hounsfield units, and do they?"""

from __future__ import annotations

from radserve_contract.volumes import Values, VolumeFault
from radserve_preproc.dicom_header import named, text
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slice_header import elements_of
from radserve_preproc.volume.slices import Slice

# Every scan of a patient shows some air or fat; the same number judges NIfTI files.
_HIGHEST_LOWEST_HU = -200.0


def check_rescale(slices: tuple[Slice, ...], faults: Faults) -> None:
    """Meet MISSING_RESCALE."""
    missing = sum(item.rescale is None and not item.has_lut for item in slices)
    if missing:
        faults.meet(
            VolumeFault.MISSING_RESCALE,
            f"{named('RescaleSlope')} or {named('RescaleIntercept')} is missing or unusable in {missing} of"
            f" {len(slices)} slices",
            change="a Rescale Slope of 1 and a Rescale Intercept of 0 are assumed",
            wanted="Send the original series",
            slices=len(slices),
            missing=missing,
        )


def check_units(slices: tuple[Slice, ...], lowest: float, faults: Faults) -> None:
    """Meet NOT_HOUNSFIELD: 8 bits as they are, or another Rescale Type and no value below -200."""
    if faults.rules.values is Values.STORED:
        return
    first = slices[0]
    is_picture = first.header.bits_stored <= 8 and _is_identity(first)
    rescale_type = text(elements_of(first).of("RescaleType"), "RescaleType").upper()
    is_other = rescale_type not in ("", "HU") and lowest > _HIGHEST_LOWEST_HU
    if is_picture or is_other:
        why = (
            "they have 8 bits and no rescale" if is_picture else f"{named('RescaleType')} is not HU, none is below -200"
        )
        faults.meet(
            VolumeFault.NOT_HOUNSFIELD,
            f"the values cannot be Hounsfield units: {why}",
            change="",
            wanted="Send the original series",
        )


def _is_identity(item: Slice) -> bool:
    rescale = item.rescale
    return not item.has_lut and (rescale is None or (rescale.slope, rescale.intercept) == (1.0, 0.0))
