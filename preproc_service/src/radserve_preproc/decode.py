"""An upload in, ``DecodedImage`` out: finds out what the bytes are and hands them to the decoder for it.

The trained system judges a file by its name; here only the content counts.
"""

from __future__ import annotations

from radserve_contract.spec import Accepts, PipelineSpec, Profile
from radserve_preproc.decode_dicom import decode_dicom
from radserve_preproc.decode_image import decode_image
from radserve_preproc.errors import UnsupportedFile
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.sniff import FileKind, look_like, sniff
from radserve_preproc.study import DecodedImage, RawStudy

__all__ = ["DecodeLimits", "decode"]


def decode(study: RawStudy, spec: PipelineSpec, profile: Profile, limits: DecodeLimits) -> DecodedImage:
    """Decode the one file of ``study`` to the 8-bit grey image that ``profile``'s tensors are made from.

    Synchronous and bound to the CPU; safe to call from many threads.

    Raises
    ------
    UnsupportedFile
        When it is no kind of file that ``spec`` accepts, saying what it looks like.
    Unfit, TooLarge
        When it is, but cannot be answered on; see ``decode_dicom`` and ``decode_image``.
    """
    kind = sniff(study.content)
    if kind is None or _accepts(kind) not in spec.accepts:
        looks = kind.value if kind else look_like(study.content)
        raise UnsupportedFile(f"the file is {looks}; {spec.name} reads {' or '.join(spec.accepts)}", looks=looks)
    if kind.is_dicom:
        return decode_dicom(study.content, spec, profile, limits)
    return decode_image(study.content, kind, spec, profile, limits)


def _accepts(kind: FileKind) -> Accepts:
    return Accepts.DICOM_RADIOGRAPH if kind.is_dicom else Accepts.RASTER
