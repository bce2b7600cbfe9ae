"""The files of a CT study in, one volume out: sorted, rescaled, with its place in the patient. Start reading here."""

from __future__ import annotations

from collections.abc import Sequence

from radserve_contract.findings import Notice
from radserve_contract.spec import PipelineSpec
from radserve_contract.volumes import VolumeFault
from radserve_preproc.dicom_header import body_part_texts, named, text
from radserve_preproc.gate import check_body_part
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.notices import NoticeCode, notice
from radserve_preproc.packed_file import Content
from radserve_preproc.study import DecodedImage
from radserve_preproc.volume.choose_series import choose_series
from radserve_preproc.volume.describe_volume import describe_volume, rescale_of, sop_instance_uids
from radserve_preproc.volume.faults import Faults
from radserve_preproc.volume.grid import laid_out
from radserve_preproc.volume.orientation import one_kind
from radserve_preproc.volume.read_upload import read_upload
from radserve_preproc.volume.read_volume import read_volume
from radserve_preproc.volume.slices import Slice
from radserve_preproc.volume.stack import stacked
from radserve_preproc.volume.units import check_rescale, check_units


def decode_series(
    files: Sequence[Content], spec: PipelineSpec, limits: DecodeLimits, *, series: str | None = None
) -> DecodedImage:
    """Decode a CT study for ``spec``, as its ``VolumeRules`` say.

    Everything that headers tell is checked before a pixel is decoded. The order of ``files`` makes no difference.

    Parameters
    ----------
    files
        Unpacked; what is no CT image is left out and counted.
    series
        Series Instance UID to be analysed; None leaves the choice to the pipeline.

    Returns
    -------
    ``(slices, rows, columns)``; see ``DecodedImage``.

    Raises
    ------
    UnfitVolume
        A fault that the pipeline refuses.
    Unfit, UnsupportedFile
        When no file is a CT image, or a slice cannot be decoded.
    BadRequest, NoFile, TooLarge
        When ``series`` is not there; when ``files`` is empty; when deflated files inflate beyond the limit.
    """
    faults = Faults(spec)
    found = read_upload(files, spec, limits, faults)
    chosen, why = choose_series(found, series, faults)
    faults.notices += check_body_part(_texts(chosen), spec.gate, pipeline=spec.name)
    stack = stacked(one_kind(chosen, faults), faults)
    _check_compression(stack.slices, faults)
    check_rescale(stack.slices, faults)
    grid = laid_out(stack, faults)
    volume = read_volume(stack, grid, limits, faults)
    check_units(stack.slices, volume.lowest, faults)
    return DecodedImage(
        volume.pixels,
        describe_volume(stack, grid, why),
        (*faults.notices, *_acquisition_notices(stack.slices)),
        tuple(faults.changes),
        positions_mm=grid.positions_mm,
        sop_instance_uids=sop_instance_uids(stack, grid),
        rescale=rescale_of(stack.slices, faults.rules.values),
    )


def _texts(series: list[Slice]) -> list[str]:
    """What the headers of a series say of the body part, each text once."""
    files = {id(item.source): item.source.file for item in series}
    return list(dict.fromkeys(text for file in files.values() for text in body_part_texts(file.ds)))


def _check_compression(slices: tuple[Slice, ...], faults: Faults) -> None:
    lossy = sum(item.is_lossy for item in slices)
    if lossy:
        faults.meet(
            VolumeFault.LOSSY_COMPRESSION,
            f"{lossy} of {len(slices)} slices have been compressed with loss",
            change="",
            wanted="Send the series as it was acquired, or compressed without loss",
            slices=lossy,
        )


def _acquisition_notices(slices: tuple[Slice, ...]) -> list[Notice]:
    notices = []
    if any(item.source.file.guessed for item in slices):
        notices.append(
            notice(
                NoticeCode.TRANSFER_SYNTAX_GUESSED,
                "files have no (0002,0010) Transfer Syntax UID; their encoding was found by looking",
            )
        )
    if any(text(item.source.file.ds, "BurnedInAnnotation").upper() == "YES" for item in slices):
        notices.append(
            notice(
                NoticeCode.BURNED_IN_ANNOTATION,
                f"{named('BurnedInAnnotation')} is YES: the pixels, and so the overlay, may show who the patient is",
            )
        )
    return notices
