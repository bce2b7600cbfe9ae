"""`radserve evaluate` with boxes and with masks: the whole way from files to the document and the page."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from radserve_client.cli import app
from tests.client.evaluate.datasets import csv, film, scored, write

VINDR = "study_id,series_id,image_id,rad_id,lesion_type,xmin,ymin,xmax,ymax"


def evaluated(*arguments: str | Path, out: Path) -> tuple[dict[str, Any], str]:
    """The document and the page."""
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments), "--out", str(out), "--resamples", "20"])
    assert result.exit_code == 0, result.output
    return json.loads((out / "evaluation.json").read_text()), (out / "report.html").read_text()


def detections(*boxes: dict[str, Any], ran: bool = True) -> dict[str, Any]:
    threshold = 0.25 if ran else None
    reason = "the study is abnormal" if ran else "the study is normal"
    return {"detections": {"ran": ran, "reason": reason, "confidence_threshold": threshold, "boxes": [*boxes]}}


def said(label: str, confidence: float, x: float) -> dict[str, Any]:
    return {"label": label, "confidence": confidence, "x_min": x, "y_min": 0.0, "x_max": x + 10, "y_max": 10.0}


def test_boxes_of_a_vindr_file(tmp_path):
    results = write(
        tmp_path / "run",
        [
            film("a", 0.9, **detections(said("Osteophytes", 0.9, 0), said("Surgical implant", 0.5, 50))),
            film("b", 0.8, **detections(said("Osteophytes", 0.8, 70))),
            film("c", 0.1, **detections(ran=False)),
        ],
    )
    labels = csv(
        tmp_path / "test.csv",
        VINDR,
        "s1,e1,a,R1,Osteophytes,0,0,10,10",
        "s1,e1,a,R1,Surgical implant,50,0,60,10",
        "s2,e2,b,R1,Osteophytes,0,0,10,10",
        "s3,e3,c,R1,No finding,,,,",
    )
    document, page = evaluated(results, "--labels", labels, out=tmp_path / "out")
    found = document["boxes"]
    by_class = {one["label"]: one["ap50"]["value"] for one in found["classes"]}
    # half of the osteophytes are found before the wrong box; the implant is found
    assert by_class == {"Osteophytes": pytest.approx(51 / 101), "Surgical implant": pytest.approx(1)}
    assert found["map50"]["value"] == pytest.approx((51 / 101 + 1) / 2)
    assert (found["images"], found["images_without_detector"]) == (3, 1)
    assert "These figures are of the deployed operating point." in page
    assert "measured with profile published, this is deployed" in page


@pytest.mark.parametrize("trained", [True, False])
def test_masks_in_a_folder(tmp_path, trained):
    predicted, reference = np.zeros((2, 4, 4, 2), np.uint8)
    predicted[:2, :2, 0], reference[:2, :4, 0] = 1, 1  # 4 voxels of 8
    (tmp_path / "run/masks").mkdir(parents=True)
    (tmp_path / "masks").mkdir()
    packed = gzip.compress(nib.Nifti1Image(predicted, np.eye(4)).to_bytes())
    (tmp_path / "run/masks/k.mask.nii.gz").write_bytes(packed)
    nib.save(nib.Nifti1Image(reference, np.eye(4)), tmp_path / "masks/study_0255_mask.nii.gz")
    row = scored(
        "/ct/study_0255.nii.gz",
        "covid_lung",
        trained=trained,
        mask_file="masks/k.mask.nii.gz",
        segmentation={"label": "infection"},
    )
    results = write(tmp_path / "run", [row])
    document, page = evaluated(results, "--labels", tmp_path / "masks", out=tmp_path / "out")
    assert document["masks"]["mean_dice"]["value"] == pytest.approx(2 / 3)
    assert document["masks"]["pooled_iou"]["value"] == pytest.approx(1 / 2)
    assert document["matching"]["rows_evaluated"] == 1
    assert ("UNTRAINED" in page) == (not trained)
    assert "only a probability of exactly 1 counts" in page  # what the published IoU is
