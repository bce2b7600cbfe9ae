"""Bytes of a file in, the decoded image or its refusal out; and a spec that lets any X-ray through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import BodyPartGate, PipelineSpec
from radserve_preproc.decode import DecodeLimits, decode
from radserve_preproc.errors import RadserveError
from radserve_preproc.study import DecodedImage, RawStudy
from tests.dicom_files import PATIENT_WORDS

# Lets every modality and body part through, so that real films of other parts test the decoders.
ANY_FILM = replace(
    SPEC,
    gate=BodyPartGate(frozenset(), frozenset()),
    modalities=SPEC.modalities | {"CT", "MG", "MR", "US"},
)


def decoded(content: bytes, *, profile: str = "deployed", spec: PipelineSpec = SPEC, **limits: Any) -> DecodedImage:
    return decode(RawStudy(content), spec, spec.profile(profile), DecodeLimits(**limits))


def refused(content: bytes, error: type[RadserveError], *, spec: PipelineSpec = SPEC, **limits: Any) -> RadserveError:
    """The error, which must be exactly that class and tell nothing about the patient."""
    with pytest.raises(error) as caught:
        decoded(content, spec=spec, **limits)
    assert type(caught.value) is error
    said = f"{caught.value.message} {caught.value.details}"
    assert not [word for word in PATIENT_WORDS if word in said]
    return caught.value


def codes(image: DecodedImage) -> list[str]:
    return [warning.code for warning in image.warnings]
