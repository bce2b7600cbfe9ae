"""The query of a predict request in, its checked values out. What is unknown is refused with what is allowed."""

from __future__ import annotations

from enum import StrEnum

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from radserve_contract.priority import Priority
from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.detect import Detect
from radserve_preproc.errors import BadRequest, NotAcceptable
from radserve_preproc.negotiation import negotiate
from radserve_preproc.tasks.registry import task_of
from radserve_preproc.tasks.task import Picture

JSON = "application/json"
PNG = "image/png"
NIFTI = "application/x-nifti"
"""A gzipped NIfTI-1 file; no media type is registered for it."""


class OverlayKind(StrEnum):
    """What a picture shows; each pipeline has some of them."""

    BOXES = "boxes"
    """A radiograph with lesion boxes."""
    SLICE = "slice"
    """One CT slice and what was said of it."""
    PLOT = "plot"
    """The scores of a series, slice by slice."""
    MONTAGE = "montage"
    """The slices that the network saw."""
    SUMMARY = "summary"
    """Findings organ by organ, to print."""
    GRADCAM = "gradcam"
    """What in the volume spoke for a finding."""
    HEATMAP = "heatmap"
    """A probability map over its slice."""


class OverlaySize(StrEnum):
    """How large a picture is."""

    SCREEN = "screen"
    FULL = "full"


class Scale(StrEnum):
    """The colour scale of a heat map."""

    FIXED = "fixed"
    """From 0 to 1."""
    AUTO = "auto"
    """From the lowest to the highest value of this map, as the trained system draws it; misleading on healthy lungs."""


class PredictQuery(BaseModel):
    """What can be asked for beside the file."""

    model_config = ConfigDict(frozen=True)

    profile: str | None = Field(
        None, description="which way to run the pipeline; GET /v1/pipelines/{name} lists them", examples=["deployed"]
    )
    priority: Priority = Field(Priority.ROUTINE, description="how urgent; served first, aged so that none starves")
    detect: Detect = Field(Detect.AUTO, description="when the detector looks for lesions: auto is on abnormal studies")
    series: str | None = Field(
        None,
        pattern=r"^[0-9.]{1,64}$",
        description="Series Instance UID of the series to analyse, when several are sent",
    )
    overlay: OverlayKind | None = Field(None, description="answer with this picture (image/png)")
    overlay_size: OverlaySize | None = Field(None, description="size of the picture: fit for a screen, or all pixels")
    scale: Scale | None = Field(None, description="colour scale of a heat map; fixed goes from 0 to 1")
    head: str | None = Field(
        None, max_length=32, description="which finding an activation map is of; the pipeline lists its heads"
    )

    @property
    def wants_picture(self) -> bool:
        """Whether a picture was asked for, whatever Accept says."""
        return any(item is not None for item in (self.overlay, self.overlay_size, self.scale, self.head))

    def picture(self, profile: Profile) -> Picture:
        """The picture, should there be one: as asked for, or the usual one of that kind of pipeline.

        Raises
        ------
        BadRequest
            The pipeline has no such picture, or not with these options.
        """
        task = task_of(profile)
        if self.overlay is not None and self.overlay.value not in task.pictures:
            raise _not_allowed("overlay", list(task.pictures))
        picture = Picture(
            overlay=self.overlay.value if self.overlay else None,
            full_size=self.overlay_size is OverlaySize.FULL,
            scale=(self.scale or Scale.FIXED).value,
            head=self.head,
        )
        _check_options(self, picture, profile)
        task.check(profile, picture)
        return picture

    def media_type(self, accept: str | None, profile: Profile) -> str:
        """JSON; or PNG, or a NIfTI mask where the pipeline has one, when Accept or the query ask for it.

        Raises
        ------
        NotAcceptable
            Accept allows none of them, or not the picture that the query asks for.
        """
        if not self.wants_picture:
            masks = (NIFTI,) if task_of(profile).nifti else ()
            return negotiate(accept, (JSON, PNG, *masks))
        try:
            return negotiate(accept, (PNG,))
        except NotAcceptable as error:
            raise NotAcceptable(f"an overlay is {PNG}, which Accept does not allow", offered=[PNG]) from error

    def chosen_profile(self, spec: PipelineSpec) -> Profile:
        """The profile asked for, or the pipeline's default.

        Raises
        ------
        BadRequest
            The pipeline has no such profile, or reads no series.
        """
        if self.series is not None and spec.volumes is None:
            raise BadRequest(f"{spec.name} reads single images; series chooses one of several", parameter="series")
        try:
            return spec.profile(self.profile)
        except KeyError:
            raise _not_allowed("profile", [profile.name for profile in spec.profiles]) from None


def _check_options(query: PredictQuery, picture: Picture, profile: Profile) -> None:
    """Refuse an option of a picture that this one does not have: it was meant to matter."""
    shown = picture.overlay or next(iter(task_of(profile).pictures))
    for option, kind in (("scale", OverlayKind.HEATMAP), ("head", OverlayKind.GRADCAM)):
        if getattr(query, option) is not None and shown != kind:
            raise BadRequest(f"{option} is an option of overlay={kind}, not of {shown}", parameter=option)


def known_keys(request: Request) -> None:
    """Refuse a key that means nothing here, and one that is given twice. What was sent is not repeated to anybody."""
    allowed = sorted(PredictQuery.model_fields)
    keys = [key for key, _ in request.query_params.multi_items()]
    if not set(keys) <= set(allowed):
        raise BadRequest(f"unknown query parameter; allowed are {', '.join(allowed)}", allowed=allowed)
    for key in set(keys):
        if keys.count(key) > 1:
            raise BadRequest(f"query parameter {key} is given more than once", parameter=key)


def _not_allowed(parameter: str, allowed: list[str]) -> BadRequest:
    message = f"{parameter} must be one of {', '.join(allowed)}"
    return BadRequest(message, parameter=parameter, allowed=allowed)
