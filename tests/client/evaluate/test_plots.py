"""Plots as SVG: the drawing itself is looked at through its elements."""

from __future__ import annotations

import sys
from dataclasses import replace
from xml.etree import ElementTree as ET

import matplotlib
import pytest

from radserve_client.evaluate import plots
from radserve_client.evaluate.svg import LONGEST, printable, short
from tests.client.evaluate.evaluations import boxes, label, masks


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter("text")]


def test_a_plot_is_one_svg_element_without_metadata_or_dates():
    svg = plots.roc(label(), "a")
    assert svg is not None
    root = ET.fromstring(svg)
    assert root.tag == "svg"
    assert {"metadata", "style", "date"}.isdisjoint(element.tag for element in root.iter())


@pytest.mark.parametrize(
    "plot",
    [
        lambda key: plots.roc(label(), key),
        lambda key: plots.precision_recall(label(), key),
        lambda key: plots.reliability(label(), key),
        lambda key: plots.scores(label(), key),
        lambda key: plots.forest((label("a"), label("b")), key),
        lambda key: plots.box_curves(boxes(), key),
        lambda key: plots.overlap(masks(), key),
    ],
)
def test_equal_figures_give_equal_text_and_keys_keep_ids_apart(plot):
    assert plot("a") == plot("a")
    ids = [{element.get("id") for element in ET.fromstring(plot(key)).iter()} - {None} for key in "ab"]
    assert ids[0]
    assert ids[0].isdisjoint(ids[1])


def test_colours_stay_colours_where_ids_are_renamed():
    svg = plots.scores(label(), "a")
    pattern = next(element for element in ET.fromstring(svg).iter("pattern"))
    assert pattern.find("rect").get("fill") == plots.ORANGE
    assert f"url(#{pattern.get('id')})" in svg


def test_no_settings_of_the_user_and_no_pyplot_take_part(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it now fails
    plain = plots.roc(label(), "a")
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 30, "svg.fonttype": "path"}):
        assert plots.roc(label(), "a") == plain


def test_labels_of_one_class_have_no_curves_but_a_histogram():
    one = label(one_class=True)
    assert plots.roc(one, "a") is None
    assert plots.precision_recall(one, "a") is None
    assert "Probability" in texts(plots.scores(one, "a"))
    assert "Share that is positive" in texts(plots.reliability(one, "a"))


def test_a_single_label_needs_no_comparison_of_labels():
    assert plots.forest((label(), label(one_class=True)), "a") is None


def test_boxes_without_a_curve_have_no_plot():
    nothing = replace(boxes(), classes=tuple(replace(one, curve=None) for one in boxes().classes))
    assert plots.box_curves(nothing, "a") is None


def test_every_class_with_a_curve_is_in_the_legend_with_its_figure():
    svg = plots.box_curves(boxes(), "a")
    assert svg is not None
    assert "Osteophytes (AP50 0.412)" in texts(svg)


@pytest.mark.parametrize("name", ["$x^{$", "$x^{", "<b>&", "a\x00b\x1b", "骨棘", "𝔘\u202e"])
def test_any_name_can_be_drawn(name):
    svg = plots.box_curves(boxes(name), "a")
    assert svg is not None
    assert any(text.startswith(printable(name)) for text in texts(svg))


def test_names_are_cut_to_what_fits():
    assert short("x" * 200) == "x" * (LONGEST - 1) + "…"
    assert short("x" * LONGEST) == "x" * LONGEST
