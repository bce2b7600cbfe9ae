"""Published figures stand only beside what they were measured with."""

from __future__ import annotations

import pytest

from radserve_client.evaluate.published import published_for
from radserve_contract.pipelines import PIPELINES

AUROC = ("AUROC", 0.9103)


def known(pipeline: str, profile: str, labels: str) -> dict[tuple[str, float], tuple[bool, str]]:
    return {(one.figure, one.value): (one.comparable, one.remark) for one in published_for(pipeline, profile, labels)}


def test_the_headline_auroc_is_comparable_with_the_profile_it_was_measured_with_and_its_data():
    comparable, remark = known("spine", "published", "vindr_spinexr")[AUROC]
    assert comparable
    assert "chosen on it" in remark


@pytest.mark.parametrize(
    ("profile", "labels", "difference"),
    [
        ("deployed", "vindr_spinexr", "measured with profile published, this is deployed"),
        ("published", "cq500", "other data than labels of the format cq500"),
    ],
)
def test_it_is_not_comparable_otherwise_and_the_difference_is_named(profile, labels, difference):
    comparable, remark = known("spine", profile, labels)[AUROC]
    assert not comparable
    assert difference in remark


def test_figures_of_the_detector_are_never_comparable():
    detector = [one for one in published_for("spine", "published", "vindr_spinexr") if "detector" in one.figure]
    assert len(detector) == 4
    assert not any(one.comparable for one in detector)
    assert any(one.remark.startswith("no profile reproduces how it was measured; ") for one in detector)


def test_comparable_figures_come_first():
    order = [one.comparable for one in published_for("spine", "published", "vindr_spinexr")]
    assert order == sorted(order, reverse=True)
    assert True in order
    assert False in order


@pytest.mark.parametrize("spec", PIPELINES, ids=lambda spec: spec.name)
def test_every_figure_of_the_contract_is_there_and_every_one_says_what_to_know(spec):
    stated = {(one.metric, one.value) for one in spec.published}
    figures = published_for(spec.name, spec.default_profile, "masks")
    assert stated <= {(one.figure, one.value) for one in figures}
    assert all(one.remark and one.source and one.data for one in figures)


def test_the_trauma_figures_are_those_of_the_printed_confusion_matrices():
    # the authors' matrix of bowel: 387 6 / 10 8, rows true
    found = known("abdominal_trauma", "evaluated", "rsna_2023")
    for figure, value in (("accuracy", 395 / 411), ("precision", 8 / 14), ("recall", 8 / 18)):
        assert (f"bowel {figure}", pytest.approx(value, abs=5e-4)) in list(found)


def test_systems_without_published_figures_have_none():
    assert published_for("head_ct", "deployed", "cq500") == ()
    assert published_for("hemorrhage", "deployed", "rsna_2019_ich") == ()
