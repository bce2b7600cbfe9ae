"""Evaluations made by hand for tests of the report: every section, small numbers, whatever names a test wants."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from radserve_client.evaluate.classification import Judged, Named, label_figures
from radserve_client.evaluate.grading import grade_figures
from radserve_client.evaluate.published import published_for
from radserve_client.evaluate.values import (
    BoxClassFigures,
    BoxFigures,
    Estimate,
    Evaluation,
    GradeFigures,
    Interval,
    LabelFigures,
    MaskFigures,
    Matching,
    Model,
    PrecisionRecallCurve,
    Resampling,
)

RESAMPLING = Resampling(20, seed=3)


def label(name: str = "decision", reference: str = "abnormal", *, one_class: bool = False) -> LabelFigures:
    """A label with every figure, of 60 rows; with ``one_class`` nothing is positive."""
    generator = np.random.default_rng(len(name))
    truth = np.zeros(60, bool) if one_class else generator.random(60) < 0.4
    probability = np.clip(generator.normal(0.35 + 0.25 * truth, 0.18), 0, 1)
    judged = Judged(probability, probability > 0.449, 0.449, ">")
    return label_figures(Named(name, reference), truth, judged, np.arange(60) // 2, RESAMPLING)


def grades(name: str = "liver") -> GradeFigures:
    """An organ's three grades."""
    generator = np.random.default_rng(5)
    truth, called = generator.integers(0, 3, 60), generator.integers(0, 3, 60)
    return grade_figures(Named(name, name), ("healthy", "low", "high"), truth, called, np.arange(60), RESAMPLING)


def boxes(first: str = "Osteophytes") -> BoxFigures:
    """Two classes: one with a curve, one without reference boxes."""
    known, missing = estimate(0.412), Estimate(None, undefined="there is no reference box")
    curve = PrecisionRecallCurve((0.6, 0.4, 0.2, 0.0), (0.5, 0.7, 0.9, 1.0))
    return BoxFigures(
        images=60,
        images_without_detector=31,
        map50=known,
        map50_95=estimate(0.187),
        precision50=estimate(0.61),
        recall50=estimate(0.48),
        confidences=(0.25, 0.15),
        classes=(
            BoxClassFigures(first, 41, 37, known, known, known, known, curve),
            BoxClassFigures("Surgical implant", 0, 3, missing, missing, estimate(0.0), missing, None),
        ),
        notes=("These figures are of the deployed operating point.",),
    )


def masks(label: str = "infection") -> MaskFigures:
    """Twelve images, two of them empty."""
    dice = tuple(float(value) for value in np.linspace(0.05, 0.98, 10))
    iou = tuple(value / (2 - value) for value in dice)
    one = estimate(0.71)
    return MaskFigures(label, 12, 2, one, one, one, one, iou, dice, ("2 of 12 images are empty on both sides.",))


def estimate(value: float) -> Estimate:
    return Estimate(value, Interval(value - 0.05, value + 0.05, 0.95), 20)


def evaluation(profile: str = "published", **other: Any) -> Evaluation:
    """A spine evaluation; ``other`` replaces fields."""
    made = Evaluation(
        version="1",
        created_at="2026-01-02T03:04:05+00:00",
        radserve_version="0.1.0",
        results="/runs/spine",
        labels_file="/labels/test.csv",
        labels_format="vindr_spinexr",
        labels_sha256="0123456789abcdef" * 4,
        pipeline="spine",
        profile=profile,
        trained=True,
        models=(
            Model("spine_resnet50", "1", "fedcba9876543210" * 4, True, "resnet50"),
            Model("spine_fusion", "1", "00112233" * 8, None, ""),
        ),
        matching=Matching(
            match="name",
            rows_read=64,
            rows_of_others=0,
            rows_failed=1,
            failed_by_code={"CORRUPT_DICOM": 1},
            rows_unmatched=3,
            rows_unmatched_examples=("/films/a.dicom", "/films/b.dicom"),
            rows_evaluated=60,
            units="rows",
            units_evaluated=60,
            labels_read=62,
            labels_unmatched=2,
            labels_unmatched_examples=("x", "y"),
            patients=30,
            patients_from="study_id",
        ),
        resampling=RESAMPLING,
        labels=(label(),),
        grades=(),
        boxes=boxes(),
        masks=None,
        published=published_for("spine", profile, "vindr_spinexr"),
        without_counterpart=("Category",),
        notes=("1 rows failed and have no score (CORRUPT_DICOM 1); figures are of the others only",),
    )
    return replace(made, **other)
