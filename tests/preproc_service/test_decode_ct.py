"""One upload for a CT pipeline: a volume, a picture, or files of which one is the study."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radserve_contract.pipelines.covid_lung import SPEC as COVID_LUNG
from radserve_contract.pipelines.hemorrhage import SPEC as HEMORRHAGE
from radserve_preproc.decode import decode
from radserve_preproc.errors import BadRequest, UnsupportedFile
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import DecodedImage, RawStudy
from tests.preproc_service.volume.nifti_files import affine, hounsfield, nifti
from tests.preproc_service.volume.series_files import ANY_PART, codes, ct_series, ct_slice, uid

SPEC = replace(COVID_LUNG, gate=ANY_PART)
SIDECAR = b'{"Modality": "CT", "ConversionSoftware": "dcm2niix"}'
VOLUME = nifti(hounsfield((60, 60, 4)), affine("RAS", (1.0, 1.0, 5.0)), zipped=True)


def decoded(files: Sequence[bytes], spec: Any = SPEC, *, series: str | None = None) -> DecodedImage:
    study = RawStudy(files[0], tuple(files[1:]))
    return decode(study, spec, spec.profile(), DecodeLimits(), series=series)


def zipped(*files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number, file in enumerate(files):
            archive.writestr(f"study/{number}", file)
    return content.getvalue()


def picture() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(3600, dtype=np.uint16).reshape(60, 60).astype(np.uint8)).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("content", [VOLUME, picture(), zipped(VOLUME)], ids=["NIfTI", "picture", "NIfTI in a zip"])
def test_a_series_that_was_asked_for_of_a_file_that_has_none_is_refused(content: bytes) -> None:
    with pytest.raises(BadRequest, match="series"):
        decoded([content], series="1.2.3")


def test_a_series_that_was_asked_for_is_found_in_a_single_slice() -> None:
    assert decoded([ct_slice()], series=uid("main")).pixels.shape[0] == 1


@pytest.mark.parametrize("pack", [lambda *files: list(files), lambda *files: [zipped(*files)]], ids=["files", "zip"])
def test_a_nifti_volume_is_found_beside_what_its_converter_wrote(pack: Any) -> None:
    image = decoded(pack(SIDECAR, VOLUME))
    assert image.description.kind == "NIfTI-1"
    assert "OTHER_OBJECTS" in codes(image)
    assert image.changes[0] == "1 of 2 files left out: no CT images, or not readable"
    assert np.array_equal(image.pixels, decoded([VOLUME]).pixels)


def test_of_two_nifti_volumes_none_is_chosen() -> None:
    with pytest.raises(UnsupportedFile, match="2 NIfTI volumes"):
        decoded([VOLUME, VOLUME])


def test_a_nifti_volume_beside_a_dicom_series_is_left_out() -> None:
    image = decoded([*ct_series(), VOLUME])
    assert image.description.kind == "DICOM series"
    assert "OTHER_OBJECTS" in codes(image)


def test_a_nifti_volume_among_others_is_none_where_none_is_read() -> None:
    with pytest.raises(UnsupportedFile):
        decoded([SIDECAR, VOLUME], replace(HEMORRHAGE, gate=ANY_PART))
