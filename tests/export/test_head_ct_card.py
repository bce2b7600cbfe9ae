"""The model card of head_ct prints the contract's values: each guess about the preparation is one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from radserve_contract.pipelines.head_ct import DEPLOYED, SIZE, SLICES, SPEC
from radserve_export.head_ct_backbones import BACKBONES, imagenet_files
from radserve_export.pipelines.head_ct import DEVIATIONS, ROUNDED
from radserve_preproc.prepare.windows import LEAST_SHARE


@pytest.fixture(scope="module")
def card(project_root: Path) -> str:
    return (project_root / "docs" / "model-cards" / "head_ct.md").read_text(encoding="utf-8")


def row(card: str, first: str) -> str:
    """The table row that begins with that cell."""
    return next(line for line in card.splitlines() if line.startswith(f"| {first}"))


def test_windows_stand_in_their_order(card: str) -> None:
    words = ", ".join(f"{window.name} {window.center:g} / {window.width:g}" for window in DEPLOYED.windows)
    assert f"| {words} |" in row(card, "windows (centre / width), in this order")


def test_reslicing_is_the_contracts(card: str) -> None:
    reslice = DEPLOYED.reslice
    assert f"| {reslice.spacing_mm:g} mm, linear" in row(card, "distance of slices after reslicing")
    assert f"the middle {reslice.slices}, from floor((n - {reslice.slices}) / 2)" in row(card, "slices")
    assert f"| {reslice.padding_hu:g} HU at both ends, the odd slice at the top" in row(card, "padding")
    assert f"fewer than {LEAST_SHARE * SLICES:g} slices of {reslice.spacing_mm:g} mm is refused" in card
    assert f"up to {reslice.spacing_mm / 2:g} mm beyond" in card


def test_size_labels_and_threshold_are_the_contracts(card: str) -> None:
    assert f"| {SIZE} x {SIZE}, aspect ignored" in row(card, "size")
    assert f"| {', '.join(label.name for label in DEPLOYED.labels)} |" in row(card, "labels")
    (threshold,) = {label.threshold for label in DEPLOYED.labels}
    assert f"score **{threshold.comparison}** {threshold.value}" in row(card, "decision")


def test_limits_are_the_contracts(card: str) -> None:
    text = " ".join(card.split())
    assert f"logit {SPEC.tolerance.logit}, probability {SPEC.tolerance.probability}, no label flips" in text


def test_every_deviation_of_the_graph_is_a_heading(card: str) -> None:
    assert all(f"\n### {name}\n" in card for names in DEVIATIONS.values() for name in names)


def test_the_effect_of_rounding_is_what_the_export_measures(card: str, ct_repository: Path) -> None:
    document = json.loads((ct_repository / "head_ct/1/provenance.json").read_text(encoding="utf-8"))
    measured = document["measured_deviations"][ROUNDED]
    stated = [float(cell) for cell in row(card, "DenseNet169, fine-tuned (the default)").split("|")[2:6]]
    figures = ("largest_logit_change", "largest_score_change", "mean_score_change", "label_flips")
    assert stated == pytest.approx([measured[name] for name in figures], rel=0.2)


def test_imagenet_files_and_backbones_are_named(card: str) -> None:
    assert imagenet_files(BACKBONES["densenet169"])[0] in card
    numbers = {name.lstrip("adeglnrstvx") for name in BACKBONES}
    assert all(number in card for number in numbers)


def test_it_says_research_use_only_and_that_no_figures_are_known(card: str) -> None:
    assert "**Research use only.**" in card
    assert not SPEC.published
    assert "**no figure of its performance is known**" in card
