"""The two phantoms in, each stored in two ways; what the measurements want of them out: DICOM bytes and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom

from bench.results import Film, Storage
from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import FilmProfile, Profile
from radserve_devstack.phantoms import spine
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import DecodedImage, RawStudy
from radserve_preproc.tensorise import tensorise

KINDS = ("normal", "abnormal")


def _of_films(profile: Profile) -> FilmProfile:
    """The profile, known to be one of films; TypeError when it is not."""
    if not isinstance(profile, FilmProfile):
        raise TypeError(f"profile {profile.name} is of no film")
    return profile


PROFILE = _of_films(SPEC.profile())


@dataclass(frozen=True, slots=True)
class Upload:
    """A film as a client sends it. ``kind`` is the answer it is made to get."""

    kind: str
    storage: Storage
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
    """Normal and abnormal phantom as JPEG 2000 DICOM files, then the same two uncompressed; ``folder`` is scratch."""
    for kind in KINDS:
        spine.write_dicom(folder / f"{kind}.dcm", abnormal=kind == "abnormal")
    compressed = [Upload(kind, Storage.JPEG_2000, (folder / f"{kind}.dcm").read_bytes()) for kind in KINDS]
    return (*compressed, *(uncompressed(film) for film in compressed))


def uncompressed(film: Upload) -> Upload:
    """The same film, the same pixels, in Explicit VR Little Endian (PS3.5 A.2)."""
    ds = pydicom.dcmread(BytesIO(film.content))
    ds.decompress(generate_instance_uid=False)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return Upload(film.kind, Storage.UNCOMPRESSED, file.getvalue())


def stored(films: Sequence[Upload], storage: Storage) -> tuple[Upload, ...]:
    """Those of ``films`` that are stored so."""
    return tuple(film for film in films if film.storage is storage)


def tensor(upload: Upload, name: str) -> npt.NDArray[np.uint8]:
    """One of the service's tensors of a film, without the batch axis: ``(1, S, S)`` uint8."""
    pixels: npt.NDArray[np.uint8] = tensorise(upload.decoded(), (PROFILE.input(name),))[name][0]
    return pixels
