"""The two phantoms in, what each measurement wants of them out: DICOM bytes, tensors, a description."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from bench.results import Film
from radserve_contract.pipelines.spine import SPEC
from radserve_devstack.phantoms import spine
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import DecodedImage, RawStudy
from radserve_preproc.tensorise import tensorise

KINDS = ("normal", "abnormal")
PROFILE = SPEC.profile()


@dataclass(frozen=True, slots=True)
class Upload:
    """A film as a client sends it. ``kind`` is the answer it is made to get."""

    kind: str
    content: bytes

    @property
    def film(self) -> Film:
        """What it is, for the report."""
        ds = pydicom.dcmread(BytesIO(self.content), stop_before_pixels=True)
        syntax = ds.file_meta.TransferSyntaxUID.name
        return Film(self.kind, ds.Rows, ds.Columns, ds.BitsStored, syntax, len(self.content))

    def decoded(self) -> DecodedImage:
        """As the service decodes it."""
        return decode(RawStudy(self.content), SPEC, PROFILE, DecodeLimits())


def uploads(folder: Path) -> tuple[Upload, ...]:
    """Both phantoms as JPEG 2000 DICOM files, written into ``folder`` and read back."""
    for kind in KINDS:
        spine.write_dicom(folder / f"{kind}.dcm", abnormal=kind == "abnormal")
    return tuple(Upload(kind, (folder / f"{kind}.dcm").read_bytes()) for kind in KINDS)


def tensor(upload: Upload, name: str) -> npt.NDArray[np.uint8]:
    """One of the service's tensors of a film, without the batch axis: ``(1, S, S)`` uint8."""
    pixels: npt.NDArray[np.uint8] = tensorise(upload.decoded(), (PROFILE.input(name),))[name][0]
    return pixels
