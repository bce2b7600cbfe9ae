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

JSON = "application/json"
PNG = "image/png"


class OverlayKind(StrEnum):
    """What an overlay shows on the film."""

    BOXES = "boxes"


class OverlaySize(StrEnum):
    """How large an overlay is."""

    SCREEN = "screen"
    FULL = "full"


class PredictQuery(BaseModel):
    """What can be asked for beside the file."""

    model_config = ConfigDict(frozen=True)

    profile: str | None = Field(
        None, description="which way to run the pipeline; GET /v1/pipelines/{name} lists them", examples=["deployed"]
    )
    priority: Priority = Field(Priority.ROUTINE, description="how urgent; served first, aged so that none starves")
    detect: Detect = Field(Detect.AUTO, description="when the detector looks for lesions: auto is on abnormal studies")
    overlay: OverlayKind | None = Field(None, description="answer with this picture (image/png)")
    overlay_size: OverlaySize | None = Field(None, description="size of the picture: fit for a screen, or all pixels")

    @property
    def wants_picture(self) -> bool:
        """Whether a picture was asked for, whatever Accept says."""
        return self.overlay is not None or self.overlay_size is not None

    @property
    def picture_size(self) -> OverlaySize:
        """The size of the picture, should there be one."""
        return self.overlay_size or OverlaySize.SCREEN

    def media_type(self, accept: str | None) -> str:
        """JSON, or PNG when Accept or the overlay ask for it.

        Raises
        ------
        NotAcceptable
            Accept allows neither, or not the picture that the query asks for.
        """
        if not self.wants_picture:
            return negotiate(accept, (JSON, PNG))
        try:
            return negotiate(accept, (PNG,))
        except NotAcceptable as error:
            raise NotAcceptable(f"an overlay is {PNG}, which Accept does not allow", offered=[PNG]) from error

    def chosen_profile(self, spec: PipelineSpec) -> Profile:
        """The profile asked for, or the pipeline's default.

        Raises
        ------
        BadRequest
            The pipeline has no such profile.
        """
        try:
            return spec.profile(self.profile)
        except KeyError:
            raise _not_allowed("profile", [profile.name for profile in spec.profiles]) from None


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
