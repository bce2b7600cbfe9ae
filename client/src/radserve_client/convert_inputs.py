"""A file, a zip or a folder in, its volumes out: each DICOM series and each NIfTI file, read when it is its turn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from radserve_client.convert_rules import ARCHIVE_LIMITS, LIMITS
from radserve_contract.spec import PipelineSpec
from radserve_preproc.errors import BadRequest, RadserveError
from radserve_preproc.sniff import FileKind, sniff
from radserve_preproc.study import DecodedImage
from radserve_preproc.volume import decode_series
from radserve_preproc.volume.archive import unpacked
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.nifti import decode_nifti
from radserve_preproc.volume.read_upload import read_upload

_JUNK = frozenset({"thumbs.db", "desktop.ini"})
_NIFTI = (FileKind.NIFTI, FileKind.GZIP)


@dataclass(frozen=True, slots=True)
class InputFile:
    """A file to be read, and what to call it to the user."""

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files that were named, and how many entries of an archive were skipped."""

    files: tuple[InputFile, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Volume:
    """The files of one volume. ``series`` is the Series Instance UID to take of them; None takes the one there is."""

    files: tuple[InputFile, ...]
    series: str | None = None

    def decode(self, spec: PipelineSpec) -> DecodedImage:
        """Read and decode; raises RadserveError, OSError."""
        contents = [file.read() for file in self.files]
        if len(contents) == 1 and sniff(contents[0]) in _NIFTI:
            return decode_nifti(contents[0], spec, LIMITS)
        return decode_series(contents, spec, LIMITS, series=self.series)


def inputs_at(path: Path) -> Inputs:
    """The files in the folder ``path`` and below, in the zip, or the one file; hidden files are left out.

    Raises
    ------
    BadArchive, TooLarge
        A zip that may not be unpacked.
    BadRequest
        A folder without files.
    OSError
        When it cannot be read.
    """
    if path.is_dir():
        paths = sorted(file for file in path.rglob("*") if file.is_file() and not _is_junk(file.relative_to(path)))
        if not paths:
            raise BadRequest("there are no files in the folder")
        return Inputs(tuple(InputFile(str(file.relative_to(path)), file.read_bytes) for file in paths))
    content = path.read_bytes()
    if sniff(content) is not FileKind.ZIP:
        return Inputs((InputFile(path.name, path.read_bytes),))
    found = unpacked(content, ARCHIVE_LIMITS)
    files = (InputFile(f"file {number}", partial(bytes, data)) for number, data in enumerate(found.files, 1))
    return Inputs(tuple(files), found.skipped)


def _is_junk(relative: Path) -> bool:
    return relative.name.casefold() in _JUNK or any(part.startswith(".") for part in relative.parts)


def one_volume(inputs: Inputs, series: str | None) -> Volume:
    """The one volume in ``inputs``: DICOM wins over NIfTI files beside it.

    Raises
    ------
    BadRequest
        Several NIfTI files and no DICOM.
    """
    volumes = [file for file in inputs.files if sniff(file.read()) in _NIFTI]
    if len(volumes) < len(inputs.files):
        return Volume(inputs.files, series)
    if len(volumes) > 1:
        raise BadRequest(f"there are {len(volumes)} NIfTI files; --all converts each")
    return Volume(tuple(volumes))


def every_volume(inputs: Inputs, spec: PipelineSpec) -> tuple[list[Volume], int]:
    """Each NIfTI file and each DICOM series, in the order of its first file; and how many files are neither."""
    groups: defaultdict[str, list[InputFile]] = defaultdict(list)
    unknown = 0
    for number, file in enumerate(inputs.files):
        keys = list(_volumes_in(file.read(), spec, number))
        unknown += not keys
        for key in keys:
            groups[key].append(file)
    return [Volume(tuple(files)) for files in groups.values()], unknown


def _volumes_in(content: bytes, spec: PipelineSpec, number: int) -> Iterator[str]:
    """The volume that a file belongs to: its series, or itself."""
    if sniff(content) in _NIFTI:
        yield f"NIfTI {number}"
        return
    try:
        slices = read_upload([content], spec, LIMITS, Faults(spec))
    except RadserveError:
        return
    yield f"series {slices[0].series_uid}"
