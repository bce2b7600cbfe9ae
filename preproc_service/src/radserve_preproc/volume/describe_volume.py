"""A stack and its grid in, what the answer says about them out; nothing that names a patient."""

from __future__ import annotations

from statistics import median

from radserve_contract.findings import ImageDescription
from radserve_contract.volumes import Values
from radserve_preproc.dicom_header import short_text
from radserve_preproc.volume.grid import Grid
from radserve_preproc.volume.slices import Rescale, Slice
from radserve_preproc.volume.stack import Stack


def describe_volume(stack: Stack, grid: Grid, series_chosen: str | None) -> ImageDescription:
    """The description; what headers say is that of the first slice."""
    first = stack.slices[0]
    file, header = first.source.file, first.header
    return ImageDescription(
        kind=_kind(stack),
        rows=header.rows,
        columns=header.columns,
        modality=short_text(file.ds, "Modality"),
        body_part_examined=short_text(file.ds, "BodyPartExamined"),
        photometric_interpretation=header.photometric_interpretation,
        bits_stored=header.bits_stored,
        transfer_syntax_uid=str(file.transfer_syntax),
        pixel_spacing_mm=first.pixel_spacing_mm or grid.pixel_spacing_mm,
        pixel_spacing_from="PixelSpacing" if first.pixel_spacing_mm else None,
        study_instance_uid=short_text(file.ds, "StudyInstanceUID"),
        series_instance_uid=short_text(file.ds, "SeriesInstanceUID"),
        sop_instance_uid=short_text(file.ds, "SOPInstanceUID") if _files(stack) == 1 else None,
        sop_class_uid=str(file.sop_class_uid) or None,
        slices=len(grid.blends),
        geometry=grid.geometry,
        slice_thickness_mm=_thickness(stack.slices),
        series_chosen=series_chosen,
    )


def _kind(stack: Stack) -> str:
    if any(item.source.frames > 1 for item in stack.slices):
        return "Enhanced CT"
    return "DICOM slice" if len(stack.slices) == 1 else "DICOM series"


def _files(stack: Stack) -> int:
    return len({id(item.source) for item in stack.slices})


def _thickness(slices: tuple[Slice, ...]) -> float | None:
    known = [item.thickness_mm for item in slices if item.thickness_mm is not None]
    return median(known) if known else None


def sop_instance_uids(stack: Stack, grid: Grid) -> tuple[str, ...]:
    """That of each slice of the volume; empty for one that lies between two."""
    return tuple(stack.slices[blend.below].sop_uid if blend.is_whole else "" for blend in grid.blends)


def rescale_of(slices: tuple[Slice, ...], values: Values) -> tuple[float, float] | None:
    """(slope, intercept) that makes Hounsfield units of stored values, when all slices have the same."""
    found: set[Rescale | None] = {None if item.has_lut else item.rescale for item in slices}
    rescale = found.pop()
    if values is not Values.STORED or found or rescale is None:
        return None
    return rescale.slope, rescale.intercept
