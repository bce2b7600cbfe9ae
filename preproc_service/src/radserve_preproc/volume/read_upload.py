"""The files of an upload in, the CT slices among them out, in an order of their own; what is no CT image is left out.

Only headers are read here, and no pixel is copied.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import groupby

from pydicom.uid import DeflatedExplicitVRLittleEndian

from radserve_contract.findings import Notice
from radserve_contract.spec import PipelineSpec
from radserve_contract.volumes import VolumeFault
from radserve_preproc.dicom_header import ONE_SAMPLE, named, read_frame_header, text, whole_number
from radserve_preproc.errors import (
    ColourImage,
    ImageTooLarge,
    MissingElement,
    NoFile,
    Unfit,
    UnfitVolume,
    UnsupportedFile,
)
from radserve_preproc.frame_decoders import NATIVE
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.object_kind import check_modality, refuse_other_objects
from radserve_preproc.packed_file import Content, beginning, whole
from radserve_preproc.read_dicom import DicomFile, PixelPlace, read_dicom_header
from radserve_preproc.sniff import look_like, sniff
from radserve_preproc.volume.encapsulated import compressed_frames
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.slice_header import slices_of
from radserve_preproc.volume.slices import Slice, Source

_HEAD = 1024  # bytes; more than is looked at to tell what a file is


def read_upload(files: Sequence[Content], spec: PipelineSpec, limits: DecodeLimits, faults: Faults) -> list[Slice]:
    """Read the headers of ``files``; OTHER_OBJECTS when some are no CT images or cannot be read.

    Returns
    -------
    Every slice, in an order that does not depend on that of ``files``.

    Raises
    ------
    NoFile
        When there are none.
    Unfit, UnsupportedFile
        When nothing is left: the one reason when there is only one; else UnfitVolume.
    TooLarge, ImageTooLarge
        When deflated files, or the number of frames, are over their limits.
    """
    if not files:
        raise NoFile("the upload holds no files. Send the files of a CT series")
    reader = _Reader(spec, limits)
    for content in files:
        reader.read(content)
    if not reader.slices:
        raise _nothing_left(reader.left_out)
    faults.notices += reader.notices()
    if reader.left_out:
        faults.meet_other_objects(len(reader.left_out), len(files), why=f" ({_reasons(reader.left_out)})")
    return _in_order(reader.slices)


class _Reader:
    """Reads file by file, and remembers what was found."""

    def __init__(self, spec: PipelineSpec, limits: DecodeLimits) -> None:
        self._spec = spec
        self._limits = replace(limits, min_side_px=1)  # a thumbnail of a film; a small CT is a small CT
        self._inflatable = limits.max_inflated_bytes
        self._notices: dict[Notice, None] = {}
        self.slices: list[Slice] = []
        self.left_out: list[Unfit | UnsupportedFile] = []

    def read(self, content: Content) -> None:
        """Read one file into ``slices`` or ``left_out``."""
        try:
            source = self._source(content)
            self.slices += slices_of(source)
        except (Unfit, UnsupportedFile) as error:
            if isinstance(error, ImageTooLarge):
                raise
            self.left_out.append(error)

    def notices(self) -> list[Notice]:
        """What the headers gave occasion to say, each once, in an order of its own."""
        return sorted(self._notices, key=lambda notice: (notice.code, notice.message))

    def _source(self, content: Content) -> Source:
        head = beginning(content, _HEAD)
        kind = sniff(head)
        if kind is None or not kind.is_dicom:
            looks = kind.value if kind else look_like(head)
            reads = f"of several files {self._spec.name} reads DICOM CT images"
            raise UnsupportedFile(f"the file is {looks}; {reads}", looks=looks)
        file, place = read_dicom_header(content, max_inflated_bytes=self._inflatable)
        if place is not None and file.transfer_syntax == DeflatedExplicitVRLittleEndian:
            self._inflatable -= len(place.content)  # the next one gets what is left of the limit
        refuse_other_objects(file.sop_class_uid)
        notices = check_modality(text(file.ds, "Modality"), file.sop_class_uid, self._spec)
        source = self._image(file, place)
        self._notices.update(dict.fromkeys(notices))
        return source

    def _image(self, file: DicomFile, place: PixelPlace | None) -> Source:
        if place is None or place.length == 0:
            raise MissingElement(f"{named('PixelData')} is missing or empty: there is no image", element="PixelData")
        header = read_frame_header(file.ds, self._limits)
        if header.photometric_interpretation not in ONE_SAMPLE:
            raise ColourImage(f"{named('PhotometricInterpretation')} is a colour one; a CT slice is grey")
        frames = whole_number(file.ds, "NumberOfFrames", default=1)
        most = self._spec.volumes.max_slices if self._spec.volumes else 1
        if frames > most:
            raise ImageTooLarge(
                f"{named('NumberOfFrames')} is {frames}; {self._spec.name} reads at most {most} slices", slices=frames
            )
        is_joint = frames > 1 and file.transfer_syntax not in NATIVE
        fragments = compressed_frames(place, frames) if is_joint else ()
        return Source(file, place, header, max(frames, 1), fragments)


def _nothing_left(left_out: list[Unfit | UnsupportedFile]) -> Unfit | UnsupportedFile:
    """The error of an upload without any CT image."""
    if len({error.code for error in left_out}) == 1:
        return min(left_out, key=lambda error: error.message)
    return UnfitVolume(
        VolumeFault.OTHER_OBJECTS,
        f"none of the {len(left_out)} files is a CT image that can be read ({_reasons(left_out)})."
        " Send the files of a CT series",
        files=len(left_out),
    )


def _reasons(left_out: list[Unfit | UnsupportedFile]) -> str:
    counts = Counter(error.code for error in left_out)
    return ", ".join(f"{count} x {code}" for code, count in sorted(counts.items()))


def _in_order(slices: list[Slice]) -> list[Slice]:
    """Sorted by what the headers say; where they say the same, by the files' content."""
    ordered = sorted(slices, key=_key)
    runs = (list(run) for _, run in groupby(ordered, key=_key))
    return [item for run in runs for item in (run if len(run) == 1 else sorted(run, key=_digest))]


def _key(item: Slice) -> tuple[object, ...]:
    number = -1 if item.instance_number is None else item.instance_number
    return item.series_uid, number, item.position_mm or (), item.sop_uid, item.frame


def _digest(item: Slice) -> bytes:
    return sha256(whole(item.source.place.content)).digest()
