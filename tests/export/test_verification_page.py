"""The page that ``make verify-all`` writes: the worst measurement of each quantity, and never an empty proof."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radserve_export.verification_page import verification_page


def write_provenance(repository: Path, model: str, measurements: list[dict[str, object]]) -> None:
    """A provenance.json with one ONNX graph."""
    folder = repository / model / "1"
    folder.mkdir(parents=True)
    document = {
        "model": model,
        "weights": "UNTRAINED",
        "graphs": {"model.onnx": {"measurements": measurements}},
        "tools": {"torch": "2.15.0"},
        "exported_at": "2026-11-20T19:51:12+00:00",
    }
    (folder / "provenance.json").write_text(json.dumps(document))


def measurement(batch: int, measured: float, allowed: float = 1e-3) -> dict[str, object]:
    """One comparison of logits."""
    return {"quantity": "logit", "batch": batch, "measured": measured, "allowed": allowed}


def test_each_quantity_is_shown_once_with_its_worst_batch(tmp_path: Path) -> None:
    write_provenance(tmp_path, "net", [measurement(1, 2e-5), measurement(8, 7e-5), measurement(2, 3e-5)])
    page = verification_page(tmp_path)
    assert page.count("| logit |") == 1
    assert "| `model.onnx` | logit | 7.0e-05 | 1.0e-03 |" in page


def test_worst_means_closest_to_its_own_limit(tmp_path: Path) -> None:
    write_provenance(tmp_path, "net", [measurement(1, 4.0, 100.0), measurement(8, 3.0, 4.0)])
    assert "| logit | 3.0e+00 | 4.0e+00 |" in verification_page(tmp_path)


def test_every_model_and_its_weights_are_named(tmp_path: Path) -> None:
    write_provenance(tmp_path, "first", [measurement(1, 0.0)])
    write_provenance(tmp_path, "second", [measurement(1, 0.0)])
    page = verification_page(tmp_path)
    assert "## first" in page
    assert "## second" in page
    assert page.count("Weights: UNTRAINED.") == 2


def test_a_repository_without_measurements_makes_no_page(tmp_path: Path) -> None:
    write_provenance(tmp_path, "net", [])
    with pytest.raises(ValueError, match="no measured graph"):
        verification_page(tmp_path)


def test_the_real_export_makes_a_page(served_repository: Path) -> None:
    page = verification_page(served_repository)
    assert "## spine_yolo11" in page
    assert "label flips" in page
