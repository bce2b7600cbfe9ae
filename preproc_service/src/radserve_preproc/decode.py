"""An upload in, ``DecodedImage`` out: finds out what the bytes are and hands them to the decoder for it.

The trained systems judge a file by its name; here only the content counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from radserve_contract.spec import Accepts, PipelineSpec, Profile
from radserve_preproc.decode_dicom import decode_dicom
from radserve_preproc.decode_image import decode_image
from radserve_preproc.decode_picture import decode_picture
from radserve_preproc.errors import BadRequest, UnsupportedFile
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.packed_file import Content, beginning, whole
from radserve_preproc.sniff import FileKind, look_like, sniff
from radserve_preproc.study import DecodedImage, RawStudy
from radserve_preproc.volume import decode_series
from radserve_preproc.volume.archive import ArchiveLimits, unpacked
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.nifti import decode_nifti

__all__ = ["DecodeLimits", "decode"]

_NIFTI: Final = (FileKind.NIFTI, FileKind.GZIP)
_HEAD: Final = 1024  # bytes; more than is looked at to tell what a file is


def decode(
    study: RawStudy, spec: PipelineSpec, profile: Profile, limits: DecodeLimits, *, series: str | None = None
) -> DecodedImage:
    """Decode ``study`` to what ``profile``'s tensors are made from: a grey image, or a CT volume.

    Synchronous and bound to the CPU; safe to call from many threads.

    Raises
    ------
    UnsupportedFile
        When it is no kind of file that ``spec`` accepts, saying what it looks like.
    BadRequest
        When ``series`` is asked for of a file that has none.
    Unfit, TooLarge
        When it is, but cannot be answered on; see the decoders.
    """
    if spec.volumes is not None:
        return _decode_ct(study, spec, limits, series)
    kind = _accepted(study.content, spec)
    if kind.is_dicom:
        return decode_dicom(study.content, spec, profile, limits)
    return decode_image(study.content, kind, spec, profile, limits)


def _decode_ct(study: RawStudy, spec: PipelineSpec, limits: DecodeLimits, series: str | None) -> DecodedImage:
    """One file of any kind that is read, or the files of a series, some of which may be no images at all."""
    if study.further:
        return _decode_files(study.files, spec, limits, series)
    kind = _accepted(study.content, spec)
    if kind is FileKind.ZIP:
        archive = unpacked(study.content, ArchiveLimits(max_total_bytes=limits.max_unpacked_bytes))
        return _with_skipped(_decode_files(archive.files, spec, limits, series), archive.skipped)
    if kind.is_dicom:
        return decode_series(study.files, spec, limits, series=series)
    _refuse_series(series, kind)
    if kind in _NIFTI:
        return decode_nifti(study.content, spec, limits)
    return decode_picture(study.content, kind, spec, limits)


def _decode_files(
    files: Sequence[Content], spec: PipelineSpec, limits: DecodeLimits, series: str | None
) -> DecodedImage:
    """Several files, or the content of a zip: a DICOM series; or a NIfTI volume, perhaps with its converter's notes."""
    kinds = [sniff(beginning(file, _HEAD)) for file in files]
    volumes = [file for file, kind in zip(files, kinds, strict=True) if kind in _NIFTI]
    if not volumes or Accepts.NIFTI not in spec.accepts or any(kind is not None and kind.is_dicom for kind in kinds):
        return decode_series(files, spec, limits, series=series)
    if len(volumes) > 1:
        raise UnsupportedFile(
            f"the upload holds {len(volumes)} NIfTI volumes; {spec.name} analyses one. Send one alone"
        )
    _refuse_series(series, FileKind.NIFTI)
    image = decode_nifti(bytes(whole(volumes[0])), spec, limits)
    return _with_left_out(image, len(files), spec) if len(files) > 1 else image


def _with_left_out(image: DecodedImage, files: int, spec: PipelineSpec) -> DecodedImage:
    """The volume that was one of ``files``. Meets OTHER_OBJECTS."""
    faults = Faults(spec)
    faults.meet_other_objects(files - 1, files)
    return replace(image, warnings=(*image.warnings, *faults.notices), changes=(*faults.changes, *image.changes))


def _refuse_series(series: str | None, kind: FileKind) -> None:
    if series is not None:
        raise BadRequest(f"series: the upload is {kind.value}, which has no Series Instance UID; leave series= out")


def _with_skipped(image: DecodedImage, skipped: int) -> DecodedImage:
    """The image, and in its changes how many entries of the archive were no files of a study."""
    if not skipped:
        return image
    said = f"{skipped} entr{'y' if skipped == 1 else 'ies'} of the archive left out: folders, hidden or system files"
    return replace(image, changes=(said, *image.changes))


def _accepted(content: bytes, spec: PipelineSpec) -> FileKind:
    """What kind of file it is; UnsupportedFile when the pipeline does not read that."""
    kind = sniff(content)
    if kind is None or not kind.accepted_as & set(spec.accepts):
        looks = kind.value if kind else look_like(content)
        raise UnsupportedFile(f"the file is {looks}; {spec.name} reads {' or '.join(spec.accepts)}", looks=looks)
    return kind
