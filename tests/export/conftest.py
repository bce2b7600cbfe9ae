"""Fixtures of the export tests: a tiny network, exported once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from radserve_export.detector import detector_to_onnx
from radserve_export.networks import BuiltNetwork
from radserve_export.torch2onnx import torch2onnx
from radserve_export.untrained import untrained_classifier
from tests.export import yolo_files
from tests.export.small_pipeline import MIRRORED, NETWORK


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny networks gain nothing from threads, and the machine has few cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def network() -> BuiltNetwork:
    """A tiny untrained network without mirror averaging. Tests that change weights must copy it."""
    return untrained_classifier(NETWORK)


@pytest.fixture(scope="session")
def mirrored() -> BuiltNetwork:
    """The same with mirror averaging."""
    return untrained_classifier(MIRRORED)


@pytest.fixture(scope="session")
def graph(network: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``network`` as ONNX."""
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    torch2onnx(network, path)
    return path


@pytest.fixture(scope="session")
def mirrored_graph(mirrored: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mirrored`` as ONNX."""
    path = tmp_path_factory.mktemp("mirrored") / "model.onnx"
    torch2onnx(mirrored, path)
    return path


@pytest.fixture(scope="session")
def small_detector() -> BuiltNetwork:
    """An untrained YOLO11n that draws boxes on the phantoms. Tests that change weights must copy it."""
    return yolo_files.small_detector()


@pytest.fixture(scope="session")
def detector_graph(small_detector: BuiltNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``small_detector`` as ONNX."""
    path = tmp_path_factory.mktemp("detector") / "model.onnx"
    detector_to_onnx(small_detector, path)
    return path
