"""A series in, a NIfTI file with its true place out, its facts as JSON beside it, its slices as PNG. On this machine.

Needs the service's decoders: the extra ``local``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from radserve_client.convert_document import document_of, warnings_of
from radserve_client.convert_inputs import Volume, every_volume, inputs_at, one_volume
from radserve_client.convert_rules import conversion
from radserve_client.files import write_whole
from radserve_contract.findings import Notice
from radserve_contract.spec import PipelineSpec
from radserve_preproc.errors import RadserveError, Unfit
from radserve_preproc.prepare.min_max import to_grey
from radserve_preproc.render_nifti import volume_nifti
from radserve_preproc.study import DecodedImage

SUFFIX = ".nii.gz"


@dataclass(frozen=True, slots=True)
class Converted:
    """A volume that was written to ``path``: what it is in words, and what the user must know."""

    path: Path
    summary: str
    warnings: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A volume that was not: ``source`` is its first file."""

    source: str
    code: str
    message: str


def convert(source: Path, target: Path, *, keep: bool, png: Path | None, series: str | None = None) -> Converted:
    """Write the volume of ``source`` to ``target`` (``.nii.gz``), ``.json`` beside it, its slices into ``png``.

    Raises
    ------
    RadserveError
        Why it cannot be converted.
    OSError
        When something cannot be read or written.
    """
    inputs = inputs_at(source)
    return _written(one_volume(inputs, series), target, png, conversion(keep=keep), skipped=inputs.skipped)


def convert_all(source: Path, folder: Path, *, keep: bool, png: Path | None) -> Iterator[Converted | Failed]:
    """The same for each series and each NIfTI file of ``source``: ``folder/volume_001.nii.gz``, and so on.

    Raises as ``convert`` when ``source`` itself cannot be read; what is wrong with one volume is a ``Failed``.
    """
    inputs, spec = inputs_at(source), conversion(keep=keep)
    volumes, unknown = every_volume(inputs, spec)
    if not volumes:
        raise Unfit(f"none of the {len(inputs.files)} files is a DICOM image or a NIfTI volume that can be converted")
    for number, volume in enumerate(volumes, 1):
        name = f"volume_{number:03d}"
        try:
            yield _written(
                volume, folder / f"{name}{SUFFIX}", png and png / name, spec, skipped=inputs.skipped + unknown
            )
        except RadserveError as error:
            yield Failed(volume.files[0].name, error.code, error.message)


def _written(volume: Volume, target: Path, png: Path | None, spec: PipelineSpec, *, skipped: int) -> Converted:
    image = volume.decode(spec)
    if image.description.geometry is None:
        raise Unfit("nothing says how far apart the voxels are: there is no place to give them in a NIfTI file")
    document = document_of(image, files=len(volume.files), skipped=skipped)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, volume_nifti(image))
    write_whole(json_beside(target), (json.dumps(document, indent=2) + "\n").encode())
    if png is not None:
        _write_slices(image, png)
    return Converted(target, _summary(image, volume), tuple(warnings_of(image)))


def json_beside(target: Path) -> Path:
    """``OUT.json`` of ``OUT.nii.gz``."""
    return target.with_name(target.name.removesuffix(SUFFIX) + ".json")


def _summary(image: DecodedImage, volume: Volume) -> str:
    slices, rows, columns = image.pixels.shape
    spacing = image.description.geometry.spacing_mm if image.description.geometry else ()
    return (
        f"{slices} slices of {rows} x {columns}, {' x '.join(f'{mm:.4g}' for mm in reversed(spacing))} mm,"
        f" {image.pixels.dtype}; {image.description.kind}, {len(volume.files)} file(s) from {volume.files[0].name}"
    )


def _write_slices(image: DecodedImage, folder: Path) -> None:
    """``slice_000.png`` and so on, the lowest first; each scaled by itself as the COVID system's images were made."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, values in enumerate(image.pixels):
        file = io.BytesIO()
        Image.fromarray(to_grey(values)).save(file, "PNG")
        write_whole(folder / f"slice_{k:03d}.png", file.getvalue())
