"""What a request of a CT pipeline gets that one of radiographs does not: several files, more time, a larger upload."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from radserve_contract.pipelines import hemorrhage, spine
from radserve_devstack.phantoms.ct import ct_phantom
from tests.dicom_files import make_radiograph
from tests.fake_triton import FakeTriton, published
from tests.live_service import LiveService, error_of
from tests.predicting import post_series

FILES = ct_phantom("head", slices=8, size=64).dicom_files(is_signed=True)
LIMIT_BYTES = 256 * 1024


def labels(model: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The haemorrhage network: logits 0, probabilities one half."""
    (items,) = {len(tensor) for tensor in tensors.values()}
    return {"logits": np.zeros((items, 6), np.float32), "probabilities": np.full((items, 6), 0.5, np.float32)}


@pytest.fixture(scope="module")
def live() -> Iterator[LiveService]:
    triton = FakeTriton(labels, models=published(hemorrhage.DEPLOYED))
    limits = {"series_limit_bytes": LIMIT_BYTES, "upload_limit_bytes": 1}
    with LiveService(triton, specs=(spine.SPEC, hemorrhage.SPEC), **limits) as service:
        yield service


def test_several_files_are_one_study(live: LiveService) -> None:
    answer = post_series(live.client, "hemorrhage", FILES).json()
    assert answer["image"]["slices"] == 8
    assert len(answer["slices"]["probabilities"]["any"]) == 8


def test_it_has_more_time_than_a_radiograph() -> None:
    def slow(model: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(0.5)
        return labels(model, tensors)

    triton = FakeTriton(labels, models=published(hemorrhage.DEPLOYED))
    times = {"request_timeout_s": 0.25, "series_timeout_s": 100}
    with LiveService(triton, specs=(spine.SPEC, hemorrhage.SPEC), **times) as live:
        triton.answer = slow
        assert post_series(live.client, "hemorrhage", FILES[:1]).status_code == 200


def test_its_upload_has_a_limit_of_its_own_over_all_files(live: LiveService) -> None:
    refused = post_series(live.client, "hemorrhage", [bytes(LIMIT_BYTES // 2 + 1)] * 2)
    assert (refused.status_code, error_of(refused)["code"]) == (413, "TOO_LARGE")
    film = post_series(live.client, "spine", [make_radiograph()])
    assert (film.status_code, error_of(film)["code"]) in ((413, "TOO_LARGE"), (503, "PROFILE_NOT_LOADED"))


def test_a_series_is_no_option_of_a_pipeline_of_radiographs(live: LiveService) -> None:
    refused = post_series(live.client, "spine", [make_radiograph()], series="1.2.3")
    assert (refused.status_code, error_of(refused)["code"]) == (400, "BAD_REQUEST")
