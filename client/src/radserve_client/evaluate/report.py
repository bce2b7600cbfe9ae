"""An evaluation in, one HTML page out: it needs no network, no script and no other file.

The page forbids itself to load anything (Content-Security-Policy); every text of results and labels is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from radserve_client.evaluate import plots
from radserve_client.evaluate.published import measured
from radserve_client.evaluate.svg import printable
from radserve_client.evaluate.values import AtThreshold, Evaluation, LabelFigures

TEMPLATE = "report.html.j2"
DIGEST_DIGITS = 12
FIGURE_NAMES = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "f1": "F1",
    "npv": "NPV",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro sensitivity",
    "macro_f1": "Macro F1",
}
CHOSEN = {"spec": "the pipeline's threshold", "youden": "Youden's threshold"}
COMPARISONS = {">": "above", ">=": "from"}


def render(evaluation: Evaluation) -> str:
    """The page. Equal evaluations give equal text."""
    return _environment().get_template(TEMPLATE).render(e=evaluation, **_context(evaluation))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("radserve_client.evaluate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {"figure_name": figure_name, "threshold": threshold, "count": count}
    return environment


def _shown(value: Any) -> Any:
    """Every text of the page passes here before it is escaped."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot, and the sentence below it."""

    svg: Markup
    caption: str


def _context(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "pictures": [tuple(_pictures(label, number)) for number, label in enumerate(evaluation.labels)],
        "forest": plots.forest(evaluation.labels, "forest"),
        "box_curves": evaluation.boxes and plots.box_curves(evaluation.boxes, "boxes"),
        "overlap": evaluation.masks and plots.overlap(evaluation.masks, "masks"),
        "comparable": [(one, measured(evaluation, one)) for one in evaluation.published if one.comparable],
        "others": [one for one in evaluation.published if not one.comparable],
        "matching": tuple(_matching(evaluation)),
        "digits": DIGEST_DIGITS,
        "confidence": f"{evaluation.resampling.confidence * 100:g} %",
    }


def _pictures(label: LabelFigures, number: int) -> Iterator[Picture]:
    """The plots of one label; ``number`` keeps their ids apart."""
    drawn = (
        (
            plots.roc(label, f"roc{number}"),
            "ROC: what share of positives is found for what share of false alarms. The further to the upper left, the"
            " better.",
        ),
        (
            plots.precision_recall(label, f"pr{number}"),
            "Precision and recall: how many of the calls are right for what share of positives found.",
        ),
        (
            plots.reliability(label, f"rel{number}"),
            "Reliability: dots on the dotted line mean that probabilities are what they say. Larger dots: more rows.",
        ),
        (plots.scores(label, f"hist{number}"), "Probabilities: how well the two groups are apart."),
    )
    return (Picture(svg, caption) for svg, caption in drawn if svg is not None)


def _matching(evaluation: Evaluation) -> Iterator[tuple[str, str, str]]:
    """What, how many, and which: the rows of the table of counts."""
    found = evaluation.matching
    codes = ", ".join(f"{code} {number}" for code, number in found.failed_by_code.items())
    yield "Rows in the results", count(found.rows_read), ""
    yield "of another pipeline, profile or model", count(found.rows_of_others), "left out"
    yield "failed", count(found.rows_failed), codes
    yield "without a label", count(found.rows_unmatched), _examples(found.rows_unmatched_examples, found.rows_unmatched)
    yield "evaluated", count(found.rows_evaluated), f"matched by {found.match}"
    yield f"Compared: {found.units}", count(found.units_evaluated), ""
    yield "Patients", count(found.patients), f"told by {found.patients_from}"
    yield "Labels", count(found.labels_read), ""
    yield (
        "without a row",
        count(found.labels_unmatched),
        _examples(found.labels_unmatched_examples, found.labels_unmatched),
    )


def _examples(texts: tuple[str, ...], total: int) -> str:
    more = ", …" if total > len(texts) else ""
    return f"such as {', '.join(texts)}{more}" if texts else ""


def figure_name(name: str) -> str:
    """What a figure is called on the page."""
    return FIGURE_NAMES.get(name, name)


def threshold(at: AtThreshold) -> str:
    """``the pipeline's threshold (above 0.449)``."""
    if at.threshold is None:
        return f"the pipeline's rule ({at.note})"
    return f"{CHOSEN[at.chosen]} ({COMPARISONS.get(at.comparison, at.comparison)} {at.threshold:.4g})"


def count(number: int) -> str:
    """``12,000``."""
    return f"{number:,}"
