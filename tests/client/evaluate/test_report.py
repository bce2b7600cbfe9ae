"""The report as a browser reads it: parsed, never compared with a stored page."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from radserve_client.evaluate.published import published_for
from radserve_client.evaluate.report import render
from radserve_client.evaluate.values import Estimate, Evaluation, Model, Resampling
from tests.client.evaluate.evaluations import boxes, evaluation, grades, label, masks

VOID = {"meta", "link", "br", "img", "hr", "input"}
LOADING = {"src", "href", "data", "action", "poster", "srcset", "background", "formaction", "xlink:href"}
HOSTILE = "<script>alert('x')</script>\"onload=\"y\u202e\x07${{7*7}}$^{"


class Page(HTMLParser):
    """Elements, attributes and texts of a page; complains of an element that is closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self._open[-1] if self._open else "", data))

    @property
    def text(self) -> str:
        """What a person reads."""
        return re.sub(r"\s+", " ", "".join(text for tag, text in self.texts if tag not in ("style", "script")))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def everything(**other: object) -> Evaluation:
    """Every section, with several labels and one that has one class only."""
    labels = (label(), label("any", "any", one_class=True), label("third", "third"))
    return evaluation(**({"labels": labels, "grades": (grades(),), "masks": masks()} | other))


def test_numbers_of_thousands_are_read_as_they_are() -> None:
    page = render(everything(resampling=Resampling(12_000, 0)))
    assert "12,000 resamples" in Page(page).text
    assert "\N{REPLACEMENT CHARACTER}" not in page


def small(**other: object) -> Evaluation:
    """As little as there can be: nothing to compare but what ``other`` says."""
    return evaluation(**({"labels": (), "boxes": None} | other))


@pytest.fixture(scope="module")
def html() -> str:
    return render(everything())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_page_needs_nothing_from_elsewhere(page, html):
    loaded = [
        (tag, name, value)
        for tag, attributes in page.elements
        for name, value in attributes.items()
        if name in LOADING and not (value or "").startswith("#")
    ]
    assert loaded == []
    assert not re.search(r"https?:|//[a-z]|@import|@font-face", html, re.IGNORECASE)
    assert {"script", "link", "img", "iframe", "object", "embed", "form"}.isdisjoint(tag for tag, _ in page.elements)
    assert {*re.findall(r"url\((.)", html)} == {"#"}


def test_the_page_forbids_itself_to_load_anything(page):
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "script-src" not in policy


def test_no_event_handler_is_on_any_element(page):
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_equal_evaluations_give_equal_pages(html):
    assert render(everything()) == html


def test_untrained_is_the_first_thing_that_is_read():
    shown = Page(render(small(trained=False)))
    body = next(text for tag, text in shown.texts if tag == "p" and text.strip())
    assert body.startswith("UNTRAINED")
    assert next(text for tag, text in shown.texts if tag == "title").startswith("UNTRAINED")


def test_trained_networks_are_not_called_untrained(page):
    assert "UNTRAINED" not in page.text
    assert next(text for tag, text in page.texts if tag == "p" and text.strip()).startswith("For research use only")


def test_the_head_says_what_was_evaluated(page):
    for text in ("/runs/spine", "/labels/test.csv", "vindr_spinexr", "0123456789ab", "fedcba987654", "spine_resnet50"):
        assert text in page.text
    for text in ("CORRUPT_DICOM 1", "such as /films/a.dicom, /films/b.dicom, …", "such as x, y", "profile published"):
        assert text in page.text
    assert "Labels of the file that this pipeline does not score: Category." in page.text


def test_figures_stand_with_their_intervals(page):
    auroc = everything().labels[0].auroc
    assert auroc.value is not None
    assert auroc.interval is not None
    assert f"{auroc.value:.3f} [{auroc.interval.low:.3f}, {auroc.interval.high:.3f}]" in page.text


def test_a_figure_that_is_not_defined_says_why(page):
    assert "– not defined: the reference has no positive" in page.text
    assert "– there is no reference box" in page.text
    assert not re.search(r"\bnan\b|\bNone\b", page.text)


def test_resamples_without_a_value_are_told():
    one = replace(label(), auroc=Estimate(0.8, None, 15, degenerate=5))
    assert "0.800 (5 resamples without a value)" in Page(render(small(labels=(one,)))).text


def test_without_resamples_no_interval_is_spoken_of():
    assert "none: no resamples were asked for" in Page(render(small(resampling=Resampling(0, 1)))).text


def test_confusion_matrices_hold_the_counts(cells):
    counts = label().at_spec.counts
    assert f"reference positive {counts.true_positive} {counts.false_negative}" in cells
    assert f"reference negative {counts.false_positive} {counts.true_negative}" in cells
    assert "Confusion matrix, at the pipeline's threshold (above 0.449)" in unescape(cells)


@pytest.fixture(scope="module")
def cells(html: str) -> str:
    """The page's text with a space between cells."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize(
    "where",
    [
        {"results": HOSTILE},
        {"labels_file": HOSTILE},
        {"models": (Model(HOSTILE, HOSTILE, HOSTILE, True, HOSTILE),)},
        {"notes": (HOSTILE,)},
        {"without_counterpart": (HOSTILE,)},
        {"labels": (label(HOSTILE, HOSTILE), label("b" + HOSTILE, HOSTILE))},
        {"grades": (grades(HOSTILE),)},
        {"boxes": boxes(HOSTILE)},
        {"masks": masks(HOSTILE)},
        {"profile": HOSTILE},
        {"matching": replace(evaluation().matching, rows_unmatched_examples=(HOSTILE,), match=HOSTILE)},
    ],
    ids=lambda where: next(iter(where)),
)
def test_hostile_names_are_text_and_nothing_else(where, page):
    html = render(small(**where))
    hostile = Page(html)
    assert "script" not in {tag for tag, _ in hostile.elements}
    names = {name for _, attributes in hostile.elements for name in attributes}
    assert names <= {name for _, attributes in page.elements for name in attributes}
    assert "<script>" in hostile.text  # it is shown, as text
    assert "{{7*7}}" in hostile.text
    assert not {"\u202e", "\x07"} & {*html}


def test_a_long_name_is_whole_in_the_tables_and_cut_to_fit_in_a_picture():
    page = Page(render(small(boxes=boxes("x" * 60))))
    assert any(tag == "th" and text == "x" * 60 for tag, text in page.texts)
    assert not [text for tag, text in page.texts if tag == "text" and "x" * 60 in text]


def test_every_picture_says_in_words_what_it_shows(page):
    pictures = page.all("svg")
    assert len(pictures) == 4 + 2 + 4 + 1 + 1 + 1  # a label of one class has no curves; forest, boxes, masks
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)
    assert len({one["aria-label"] for one in pictures}) == len(pictures)
    assert len(page.all("figcaption")) == len(pictures)


def test_every_id_is_there_once_and_every_reference_finds_one(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len({*ids})
    wanted = {
        found
        for _, attributes in page.elements
        for name, value in attributes.items()
        for found in ([value[1:]] if name == "href" and value else re.findall(r"url\(#([^)]+)\)", value or ""))
    } | {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert wanted <= {*ids}
    assert wanted


def test_tables_have_captions_and_header_cells_with_a_scope(page):
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in cell for cell in page.all("th"))


def test_the_language_and_the_title_are_set(page):
    assert page.all("html") == [{"lang": "en"}]
    assert any(tag == "title" and "spine (published)" in text for tag, text in page.texts)


def test_published_figures_stand_beside_those_measured_with_the_same_profile(cells):
    beside, otherwise = cells.split("Measured with this profile on this data set")[1].split("Measured otherwise")
    auroc = label().auroc.value
    assert auroc is not None
    assert f"AUROC 0.9103 {auroc:.3f}" in beside
    assert "detector" not in beside
    assert "0.8861" in otherwise  # the paper's


def test_published_figures_of_another_profile_stand_apart_with_the_difference_named():
    text = Page(render(small(profile="deployed", published=published_for("spine", "deployed", "vindr_spinexr")))).text
    assert "Measured with this profile" not in text
    assert "measured with profile published, this is deployed" in text.split("Measured otherwise")[1]


def test_a_system_without_published_figures_says_so():
    assert "published no figures" in Page(render(small(published=()))).text


def test_sections_without_figures_are_left_out():
    text = Page(render(small(masks=masks(), published=()))).text
    assert "Summary" not in text
    assert "mAP50" not in text
    assert "Dice" in text


def test_masks_without_any_mark_have_no_histogram():
    nothing = Estimate(None, undefined="no image has a marked voxel on either side")
    empty = replace(
        masks(), dice_per_image=(), iou_per_image=(), mean_dice=nothing, mean_iou=nothing, pooled_dice=nothing
    )
    shown = Page(render(small(masks=empty)))
    assert shown.all("svg") == []
    assert "no image has a marked voxel" in shown.text
