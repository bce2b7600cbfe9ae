"""Everything that can go wrong in the service, with its stable code and HTTP status. ``docs/errors.md`` lists the same.

::

    RadserveError
    ├── BadRequest (400)          BAD_REQUEST  NO_FILE  TOO_MANY_FILES  EMPTY_FILE
    ├── NotFound (404)            NOT_FOUND  UNKNOWN_PIPELINE
    ├── MethodNotAllowed (405)    METHOD_NOT_ALLOWED
    ├── NotAcceptable (406)       NOT_ACCEPTABLE
    ├── TooLarge (413)            TOO_LARGE
    ├── UnsupportedFile (415)     UNSUPPORTED_FILE
    ├── Unfit (422)               one class per reason, below
    ├── Busy (429)                BUSY
    ├── InternalError (500)       INTERNAL_ERROR
    ├── BadModelOutput (502)      BAD_MODEL_OUTPUT
    ├── ModelFailed (502)         MODEL_FAILED
    ├── Unavailable (503)         TRITON_UNAVAILABLE  MODEL_NOT_READY  PROFILE_NOT_LOADED  SHUTTING_DOWN
    └── DeadlineExceeded (504)    DEADLINE_EXCEEDED

Messages say what, where, got, wanted, do; never a patient's name, id, date or a file name.
"""

from __future__ import annotations

from typing import Any, ClassVar

from radserve_contract.volumes import VolumeFault


class RadserveError(Exception):
    """Root of the tree: a message for the user, a stable ``code``, an HTTP status, and machine-readable ``details``."""

    code: str = "INTERNAL_ERROR"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(RadserveError):
    """The request itself is malformed."""

    code = "BAD_REQUEST"
    http_status = 400


class NoFile(BadRequest):
    """The multipart body has no part called ``file``."""

    code = "NO_FILE"


class TooManyFiles(BadRequest):
    """More than one ``file`` part for a pipeline that reads one image."""

    code = "TOO_MANY_FILES"


class EmptyFile(BadRequest):
    """The ``file`` part, or the whole body, has no bytes."""

    code = "EMPTY_FILE"


class NotFound(RadserveError):
    """No such address."""

    code = "NOT_FOUND"
    http_status = 404


class UnknownPipeline(NotFound):
    """No pipeline of that name."""

    code = "UNKNOWN_PIPELINE"


class MethodNotAllowed(RadserveError):
    """The address exists, but not with this method."""

    code = "METHOD_NOT_ALLOWED"
    http_status = 405


class NotAcceptable(RadserveError):
    """``Accept`` names no representation that the pipeline has."""

    code = "NOT_ACCEPTABLE"
    http_status = 406


class TooLarge(RadserveError):
    """The upload is over the size limit."""

    code = "TOO_LARGE"
    http_status = 413


class UnsupportedFile(RadserveError):
    """Not a kind of file that the pipeline reads."""

    code = "UNSUPPORTED_FILE"
    http_status = 415


class Unfit(RadserveError):
    """Readable, but not something the pipeline may answer on; each reason has a code of its own."""

    code = "UNFIT"
    http_status = 422


class CorruptDicom(Unfit):
    """Looks like DICOM, but is truncated or cannot be parsed."""

    code = "CORRUPT_DICOM"


class CorruptImage(Unfit):
    """A raster file that cannot be decoded."""

    code = "CORRUPT_IMAGE"


class NotAnImage(Unfit):
    """A DICOM object without pixels: SR, PDF, RTSTRUCT, waveform, DICOMDIR."""

    code = "NOT_AN_IMAGE"


class WrongModality(Unfit):
    """The modality is not one the pipeline was trained on."""

    code = "WRONG_MODALITY"


class WrongBodyPart(Unfit):
    """The header names a body part the pipeline was not trained for."""

    code = "WRONG_BODY_PART"


class MultiFrame(Unfit):
    """More than one frame where one is wanted."""

    code = "MULTI_FRAME"


class MissingElement(Unfit):
    """A DICOM element that is needed is absent or empty."""

    code = "MISSING_ELEMENT"


class BadPixelData(Unfit):
    """Pixel data that do not agree with the header, or cannot be decoded."""

    code = "BAD_PIXEL_DATA"


class UnsupportedTransferSyntax(Unfit):
    """A transfer syntax no installed decoder reads."""

    code = "UNSUPPORTED_TRANSFER_SYNTAX"


class ImageTooLarge(Unfit):
    """Rows x Columns beyond the limit."""

    code = "IMAGE_TOO_LARGE"


class ImageTooSmall(Unfit):
    """Fewer rows or columns than a radiograph has."""

    code = "IMAGE_TOO_SMALL"


class ColourImage(Unfit):
    """A colour picture; a radiograph is grey."""

    code = "COLOUR_IMAGE"


class ConstantImage(Unfit):
    """Every pixel has the same value."""

    code = "CONSTANT_IMAGE"


class CorruptNifti(Unfit):
    """Looks like NIfTI, but is truncated or cannot be parsed."""

    code = "CORRUPT_NIFTI"


class BadArchive(Unfit):
    """A zip that is damaged, encrypted, nested, or whose entries may not be unpacked."""

    code = "BAD_ARCHIVE"


class UnfitVolume(Unfit):
    """A CT study with a fault that the pipeline refuses; its code is that of the fault (``VolumeFault``)."""

    code = "UNFIT_VOLUME"

    def __init__(self, fault: VolumeFault, message: str, **details: Any) -> None:
        super().__init__(message, **details)
        self.code = fault.value


class Busy(RadserveError):
    """There is no room for this request now; ``retry_after_s`` says when to come back."""

    code = "BUSY"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: float, **details: Any) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **details)
        self.retry_after_s = retry_after_s


class InternalError(RadserveError):
    """Our fault: a defect. The log holds the trace under the request id."""


class BadModelOutput(RadserveError):
    """Triton answered something no network of the pipeline can answer (NaN, wrong shape)."""

    code = "BAD_MODEL_OUTPUT"
    http_status = 502


class ModelFailed(RadserveError):
    """Triton took the request, but the model could not run it."""

    code = "MODEL_FAILED"
    http_status = 502


class Unavailable(RadserveError):
    """Triton does not answer, or was replaced while the study was with it."""

    code = "TRITON_UNAVAILABLE"
    http_status = 503


class ModelNotReady(Unavailable):
    """Triton answers, but a model of the profile is not ready."""

    code = "MODEL_NOT_READY"


class ProfileNotLoaded(Unavailable):
    """The profile exists, but its models are not in the served repository."""

    code = "PROFILE_NOT_LOADED"


class ShuttingDown(Unavailable):
    """The service is stopping and this answer did not make it."""

    code = "SHUTTING_DOWN"


class DeadlineExceeded(RadserveError):
    """The answer would have come too late."""

    code = "DEADLINE_EXCEEDED"
    http_status = 504
