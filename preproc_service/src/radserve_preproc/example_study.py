"""A pipeline's spec in, a small synthetic study that it reads out: for warming up, no patient anywhere."""

from __future__ import annotations

import io

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image

from radserve_contract.spec import Accepts, PipelineSpec
from radserve_preproc.study import RawStudy

ROWS, COLUMNS = 512, 400


def example_study(spec: PipelineSpec) -> RawStudy:
    """A picture with some structure, as PNG; for a pipeline that reads no pictures, a NIfTI volume."""
    return _picture() if Accepts.RASTER in spec.accepts else _volume(spec)


def _picture() -> RawStudy:
    file = io.BytesIO()
    Image.fromarray(_waves().astype(np.uint8)).save(file, "PNG")
    return RawStudy(file.getvalue())


def _volume(spec: PipelineSpec) -> RawStudy:
    """Soft tissue in air, as many slices as the pipeline wants at least."""
    slices = max(spec.volumes.min_slices, 8) if spec.volumes else 8
    grey = _waves()
    tissue = np.where(grey > 128, grey - 100, -1000).astype(np.int16)
    # NIfTI's first axis goes along a row; to the patient's right and front, as DICOM's axial slices do not
    voxels = np.repeat(tissue.T[:, :, None], slices, axis=2)
    affine = np.diag([-0.8, -0.8, 5.0, 1.0])
    return RawStudy(nibabel.Nifti1Image(voxels, affine).to_bytes())


def _waves() -> npt.NDArray[np.float64]:
    """``(rows, columns)`` grey levels from 8 to 248 with structure of several sizes."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    return np.asarray(128 + 60 * np.sin(x / 23) * np.cos(y / 31) + 60 * np.sin((x + y) / 97))
