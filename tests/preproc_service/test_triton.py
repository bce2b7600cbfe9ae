"""What counts as an answer of a network."""

from __future__ import annotations

import numpy as np
import pytest

from radserve_contract.pipelines import spine
from radserve_preproc.errors import BadModelOutput
from radserve_preproc.triton import Tensor, check_outputs

SPECS = spine.DEPLOYED.model("spine").outputs


def sane() -> dict[str, Tensor]:
    return {spec.name: np.zeros((1, *spec.dims), spec.dtype.numpy) for spec in SPECS}


def test_outputs_as_the_contract_has_them_pass() -> None:
    check_outputs("spine", sane(), SPECS)


@pytest.mark.parametrize("name", [spec.name for spec in SPECS])
def test_a_missing_output_is_named(name: str) -> None:
    outputs = sane()
    del outputs[name]
    with pytest.raises(BadModelOutput, match=name) as caught:
        check_outputs("spine", outputs, SPECS)
    assert caught.value.details == {"model": "spine", "output": name}


@pytest.mark.parametrize("shape", [(2, 1), (1,), (1, 2), (0, 1)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadModelOutput, match=r"wanted float32 \(1, 1\)"):
        check_outputs("spine", sane() | {"score": np.zeros(shape, np.float32)}, SPECS)


def test_another_dtype_is_refused() -> None:
    with pytest.raises(BadModelOutput, match="float64"):
        check_outputs("spine", sane() | {"score": np.zeros((1, 1), np.float64)}, SPECS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["score", "boxes", "box_scores", "resnet50"])
def test_nan_and_infinity_are_refused_wherever_they_stand(name: str, value: float) -> None:
    outputs = sane()
    outputs[name].flat[-1] = value
    with pytest.raises(BadModelOutput, match=f"{name} of spine holds NaN or infinity"):
        check_outputs("spine", outputs, SPECS)
