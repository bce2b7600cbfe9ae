"""A fault of a CT study in, what the pipeline does about it out: a warning, a correction with its words, or 422."""

from __future__ import annotations

from typing import Final

from radserve_contract.findings import Notice
from radserve_contract.spec import PipelineSpec
from radserve_contract.volumes import Handling, VolumeFault, VolumeRules
from radserve_preproc.errors import UnfitVolume

NO_CORRECTION: Final = frozenset(
    {VolumeFault.NOT_AXIAL, VolumeFault.FEW_SLICES, VolumeFault.LOSSY_COMPRESSION, VolumeFault.NOT_HOUNSFIELD}
)
"""Faults that nothing mends; a pipeline that asks for it gets a refusal."""

ALWAYS_CORRECTED: Final = frozenset(
    {
        VolumeFault.DUPLICATE_POSITIONS,
        VolumeFault.MIXED_ORIENTATION,
        VolumeFault.MIXED_MATRIX,
        VolumeFault.LOCALIZER,
        VolumeFault.OTHER_OBJECTS,
        VolumeFault.SEVERAL_SERIES,
        VolumeFault.SEVERAL_VOLUMES,
    }
)
"""Faults with which there is no one volume: a pipeline that accepts them gets the correction, and the change said."""


class Faults:
    """The rules of one pipeline, and what they have led to so far on one study."""

    def __init__(self, spec: PipelineSpec) -> None:
        if spec.volumes is None:
            raise ValueError(f"{spec.name} reads no CT studies: its spec has no volumes")
        self.rules: VolumeRules = spec.volumes
        self.pipeline = spec.name
        self.notices: list[Notice] = []
        self.changes: list[str] = []

    def handling(self, fault: VolumeFault) -> Handling:
        """What is done about ``fault``."""
        handling = self.rules.handle(fault)
        if handling is Handling.CORRECT and fault in NO_CORRECTION:
            return Handling.REFUSE
        if handling is Handling.ACCEPT and fault in ALWAYS_CORRECTED:
            return Handling.CORRECT
        return handling

    def meet_other_objects(self, left_out: int, files: int, *, why: str = "") -> None:
        """Meet OTHER_OBJECTS: ``left_out`` of ``files`` files are not of the study."""
        several = "is no CT image" if left_out == 1 else "are no CT images"
        self.meet(
            VolumeFault.OTHER_OBJECTS,
            f"{left_out} of {files} files {several}, or cannot be read{why}",
            change=f"{left_out} of {files} files left out: no CT images, or not readable",
            wanted="Send the files of the series alone",
            left_out=left_out,
            files=files,
        )

    def meet(self, fault: VolumeFault, found: str, *, change: str, wanted: str, **details: object) -> bool:
        """Write ``fault`` down; True when it is to be corrected.

        Parameters
        ----------
        found
            What is wrong, for the warning and the error; holds no text of the header.
        change
            What correcting does, for the answer's list of changes.
        wanted
            What to send instead, for the error.

        Raises
        ------
        UnfitVolume
            When the pipeline refuses such studies.
        """
        handling = self.handling(fault)
        if handling is Handling.REFUSE:
            raise UnfitVolume(fault, f"{found}; {self.pipeline} does not read such a study. {wanted}", **details)
        is_corrected = handling is Handling.CORRECT
        self.notices.append(Notice(fault.value, f"{found}; {change}" if is_corrected else f"{found}; left as it is"))
        if is_corrected:
            self.changes.append(change)
        return is_corrected
