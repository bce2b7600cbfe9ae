"""A decoded volume in, the JSON document beside its NIfTI file out: facts and figures, nothing of the patient.

No date, name, number, free text or UID of a patient, study, series or image is in it; Body Part Examined only in words
that are known.
"""

from __future__ import annotations

import re
from typing import Any

from radserve_client.convert_rules import KNOWN_BODY_PARTS
from radserve_contract.findings import Notice
from radserve_preproc.notices import NoticeCode
from radserve_preproc.render_nifti import ras_affine
from radserve_preproc.study import DecodedImage

# A conversion answers nothing, so it matters to nobody that the body part is not known.
_OF_NO_MATTER = NoticeCode.BODY_PART_UNKNOWN.value


def warnings_of(image: DecodedImage) -> list[Notice]:
    """What the user must know of a converted volume."""
    return [notice for notice in image.warnings if notice.code != _OF_NO_MATTER]


def document_of(image: DecodedImage, *, files: int, skipped: int) -> dict[str, Any]:
    """What is written as ``OUT.json`` of an ``image`` with a geometry (ValueError without).

    ``skipped`` counts what was not looked at as an image: folders and junk of an archive, files of other kinds.
    """
    description = image.description
    geometry = description.geometry
    if geometry is None:
        raise ValueError("the volume has no geometry")
    return {
        "kind": description.kind,
        "modality": description.modality,
        "body_part_examined": _known(description.body_part_examined),
        "dtype": str(image.pixels.dtype),
        "geometry": {
            "coordinates": "DICOM patient coordinates (LPS), mm",
            "shape_slices_rows_columns": list(geometry.shape),
            "origin_mm": list(geometry.origin_mm),
            "direction": [list(geometry.direction[row : row + 3]) for row in (0, 3, 6)],
            "spacing_columns_rows_slices_mm": list(geometry.spacing_mm),
        },
        "nifti_affine_ras_mm": ras_affine(geometry).tolist(),
        "slice_positions_mm": [] if image.positions_mm is None else image.positions_mm.tolist(),
        "slice_thickness_mm": description.slice_thickness_mm,
        "bits_stored": description.bits_stored,
        "transfer_syntax_uid": description.transfer_syntax_uid,
        "counts": {"files": files, "skipped": skipped, "slices": geometry.shape[0]},
        "series_chosen": description.series_chosen,
        "changes": list(image.changes),
        "warnings": [{"code": notice.code, "message": notice.message} for notice in warnings_of(image)],
    }


def _known(body_part_examined: str | None) -> str | None:
    words = re.findall(r"[A-Z]+", (body_part_examined or "").upper())
    return " ".join(words) if words and KNOWN_BODY_PARTS.issuperset(words) else None
