"""docs/add-a-pipeline.md followed to its end: the toy exported, served by the real Triton, asked by HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from radserve_contract.spec import PipelineSpec
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_export.errors import ForeignCheckpoint
from radserve_export.exportable import PipelineExport
from radserve_export.steps import Order, Release, export
from radserve_triton.repository import verify_manifest
from radserve_triton.server import TritonServer
from tests.completeness import page
from tests.completeness.page import TOY
from tests.end_to_end.ct_service import scores_of, series
from tests.export.small_pipeline import silent
from tests.live_service import LiveService
from tests.predicting import findings, post_series

CLIP = (10, 240)
SIZE = 64


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which every step of the page has been done; the toy can be imported."""
    root = page.follow(tmp_path_factory.mktemp("checkout"))
    with page.installed(root, "radserve_contract.pipelines", "radserve_export.pipelines"):
        yield root


@pytest.fixture(scope="module")
def toy(checkout: Path) -> PipelineExport:
    """The toy, as the list of exports that the page changed has it."""
    with page.loaded(checkout / page.EXPORT / "__init__.py") as listed:
        module: PipelineExport = listed.EXPORTS[TOY]
        return module


@pytest.fixture(scope="module")
def study(checkout: Path) -> bytes:
    """What the demo draws for it."""
    with page.loaded(checkout / page.DEMO) as demo:
        demo.draw_phantoms(TOY, checkout / "demo", again=False)
    return (checkout / "demo/head-lesion-slice.dcm").read_bytes()


def released(toy: PipelineExport, checkout: Path, name: str, checkpoints: Path | None = None) -> Path:
    """A served repository with the toy alone."""
    order = Order(toy, toy.SPEC.profiles, checkpoints)
    export(Release((order,), checkout / "model_repository", checkout / name), silent)
    verify_manifest(checkout / name)
    return checkout / name


@pytest.fixture(scope="module")
def triton(toy: PipelineExport, checkout: Path, start_triton: Callable[..., TritonServer]) -> TritonServer:
    """The real server with the toy, untrained."""
    return start_triton(released(toy, checkout, "untrained"), verify=True)


@pytest.fixture(scope="module")
def http(toy: PipelineExport, triton: TritonServer) -> Iterator[httpx.Client]:
    """A client of the service, to which nothing was added but the toy's SPEC."""
    spec: PipelineSpec = toy.SPEC
    with LiveService(None, specs=(spec,), triton_address=triton.grpc_address) as service:
        yield service.client


def probabilities(toy: PipelineExport, files: list[bytes]) -> np.ndarray:
    """What the torch module says of slices ``(N, labels)``, prepared anew with pydicom, Pillow and torchvision."""
    network: Any = toy.build(toy.SPEC.profile().models[0], toy.SPEC.profile(), None).network.module
    pixels = [np.clip(pydicom.dcmread(io.BytesIO(content)).pixel_array, *CLIP) for content in files]
    pictures = [
        Image.fromarray(item.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BILINEAR) for item in pixels
    ]
    tensors = [
        functional.normalize(functional.to_tensor(item.convert("RGB")), [0.5] * 3, [0.5] * 3) for item in pictures
    ]
    with torch.no_grad():
        return torch.sigmoid(network.network(torch.stack(tensors)).double()).numpy()


def test_the_service_answers_what_the_torch_module_says(toy: PipelineExport, http: httpx.Client, study: bytes) -> None:
    answer = findings(post_series(http, TOY, [study]))
    calcification, anything = expected = probabilities(toy, [study])[0]
    assert [label["name"] for label in answer["labels"]] == ["calcification", "any"]
    assert [label["probability"] for label in answer["labels"]] == pytest.approx(expected, abs=1e-4)
    assert [label["positive"] for label in answer["labels"]] == [calcification > 0.6, anything >= 0.4]
    assert [(label["comparison"], label["threshold"]) for label in answer["labels"]] == [(">", 0.6), (">=", 0.4)]
    assert answer["decision"]["probability"] == pytest.approx(anything, abs=1e-4)
    assert (answer["pipeline"], answer["profile"], answer["trained"]) == (TOY, "deployed", False)
    assert answer["notices"][0].startswith("UNTRAINED")
    assert "stored values cut off at 10 and 240" in answer["changes"]
    # scores of which none could be taken for another's, or for nobody's
    assert len({round(float(score), 2) for score in (calcification, anything, 0, 0.5, 1)}) == 5


def test_a_series_is_answered_slice_by_slice(toy: PipelineExport, http: httpx.Client) -> None:
    files = ct_phantom("head", slices=6, size=128).dicom_files()
    answer = findings(post_series(http, TOY, files))
    expected = probabilities(toy, files)
    for column, label in enumerate(answer["labels"]):
        assert answer["slices"]["probabilities"][label["name"]] == pytest.approx(expected[:, column], abs=1e-4)
        assert label["probability"] == pytest.approx(expected[:, column].max(), abs=1e-4)


def test_the_pages_golden_study_is_answered_as_the_page_says(checkout: Path, http: httpx.Client) -> None:
    """As test_golden.py plays those of the CT pipelines."""
    golden = json.loads((checkout / "tests/golden" / TOY / "head_lesion.json").read_text("utf-8"))
    files = series(golden["phantom"]["kind"], lesion=golden["phantom"]["lesion"])
    answer = findings(post_series(http, TOY, files, profile=golden["profile"]))
    expected = golden["expected"]
    assert scores_of(answer) == pytest.approx(expected["scores"], abs=golden["tolerance"]["score"], rel=0)
    assert answer["risk"] == expected["risk"]
    assert [label["slice"] for label in answer["labels"]] == expected["slices"]


def test_its_pictures_and_its_entry_come_with_the_kind_of_profile(http: httpx.Client, study: bytes) -> None:
    response = post_series(http, TOY, [study], accept="image/png")
    assert response.headers["content-type"] == "image/png", response.text
    with Image.open(io.BytesIO(response.content)) as picture:
        assert min(picture.size) >= 200
    listed = http.get("/v1/pipelines").json()
    assert TOY in json.dumps(listed)


def test_with_a_checkpoint_it_is_trained(toy: PipelineExport, checkout: Path) -> None:
    folder = checkout / "checkpoints"
    folder.mkdir()
    network: Any = toy.build(toy.SPEC.profile().models[0], toy.SPEC.profile(), None).network.module.network
    weights = {name: value * 0.9 for name, value in network.state_dict().items()}
    torch.save({"state_dict": weights}, folder / "toy.pth")
    repository = released(toy, checkout, "trained", folder)
    assert json.loads((repository / "manifest.json").read_text())["trained"] is True
    assert 'radserve_trained_1" value { string_value: "true"' in (repository / TOY / "config.pbtxt").read_text()

    torch.save({name: value for name, value in weights.items() if name != "3.bias"}, folder / "toy.pth")
    with pytest.raises(ForeignCheckpoint, match=r"1 missing: 3\.bias"):
        released(toy, checkout, "foreign", folder)
    assert not (checkout / "foreign").exists()
