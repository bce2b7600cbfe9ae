"""Files in, a ``RawStudy`` out, within what one request may bring: for studies that come without HTTP as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radserve_contract.spec import PipelineSpec
from radserve_preproc.errors import EmptyFile, NoFile, TooLarge, TooManyFiles
from radserve_preproc.settings import Settings
from radserve_preproc.study import RawStudy

FILES_PER_SLICE = 4
"""Several series may come together, of which one is chosen."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one study may bring: ``size_bytes`` is for all its files together."""

    size_bytes: int
    max_files: int


def upload_limits(spec: PipelineSpec, settings: Settings) -> UploadLimits:
    """The limits of a pipeline: one image, or the files of a series."""
    if spec.volumes is None:
        return UploadLimits(settings.upload_limit_bytes, 1)
    return UploadLimits(settings.series_limit_bytes, FILES_PER_SLICE * spec.volumes.max_slices)


def study_of(files: Sequence[bytes], limits: UploadLimits) -> RawStudy:
    """The study that a request with these files would be.

    Raises
    ------
    NoFile, EmptyFile, TooManyFiles
        There is none, one has no bytes, or there are more than the pipeline reads.
    TooLarge
        They are over the limit.
    """
    if not files:
        raise NoFile("the study has no files")
    if len(files) > limits.max_files:
        raise TooManyFiles(f"the study has {len(files)} files; at most {limits.max_files} are read")
    check_total(sum(map(len, files)), limits)
    if not all(files):
        raise EmptyFile("the part 'file' has no bytes")
    return RawStudy(files[0], tuple(files[1:]))


def check_total(size_bytes: int, limits: UploadLimits) -> None:
    """Raise TooLarge when a study of that size is over the limit."""
    if size_bytes > limits.size_bytes:
        raise TooLarge(f"the upload is larger than {limits.size_bytes} bytes", limit_bytes=limits.size_bytes)
