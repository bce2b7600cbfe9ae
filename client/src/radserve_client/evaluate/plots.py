"""Figures of an evaluation in, inline SVG out; each says in words what it shows.

Colours are those of Okabe and Ito, which people with any colour vision tell apart; nothing is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from radserve_client.evaluate.svg import drawing, inline, short
from radserve_client.evaluate.values import (
    AtThreshold,
    BoxFigures,
    Estimate,
    LabelFigures,
    MaskFigures,
)

BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#666666"
COLOURS = (BLUE, ORANGE, GREEN, "#cc79a7", "#56b4e9", "#e69f00", "#000000")
DASHES = ("solid", "dashed", "dashdot", "dotted")
SIZE = (3.9, 3.5)
"""Inches, 72 points each."""
SQUARE = (0.16, 0.13, 0.75, 0.836)
BELOW_A_LEGEND = (0.13, 0.13, 0.82, 0.74)
"""Left, bottom, width and height of the axes, as shares of ``SIZE``: text fits around it, and nothing is measured."""
BINS = [step / 20 for step in range(21)]


def roc(label: LabelFigures, key: str) -> Markup | None:
    """ROC curve with the operating points; None where one class is missing."""
    if label.roc is None:
        return None
    with drawing():
        figure, axes = _square("False positive rate (1 − specificity)", "Sensitivity")
        axes.plot((0, 1), (0, 1), color=GREY, linestyle="dotted", linewidth=1, label="chance")
        axes.plot(label.roc.false_positive_rate, label.roc.true_positive_rate, color=BLUE, linewidth=1.8)
        for point, marker, colour, name in (
            (label.at_spec, "o", ORANGE, "pipeline's threshold"),
            (label.at_youden, "^", GREEN, "Youden's, chosen here"),
        ):
            place = _operating_point(point)
            if place:
                axes.plot(*place, marker, color=colour, markersize=8, markeredgecolor="white", label=name)
        axes.legend(loc="lower right")
        auroc = number(label.auroc.value)
        return inline(figure, key=key, alt=f"ROC curve of {short(label.name)}, AUROC {auroc}")


def precision_recall(label: LabelFigures, key: str) -> Markup | None:
    """Precision over recall; None where one class is missing."""
    curve = label.precision_recall
    if curve is None:
        return None
    with drawing():
        figure, axes = _square("Recall (sensitivity)", "Precision")
        axes.axhline(label.prevalence, color=GREY, linestyle="dotted", linewidth=1, label="chance (prevalence)")
        axes.plot(curve.recall, curve.precision, color=BLUE, linewidth=1.8)
        counts = label.at_spec.counts
        called, positives = counts.true_positive + counts.false_positive, counts.true_positive + counts.false_negative
        if called and positives:
            place = (counts.true_positive / positives, counts.true_positive / called)
            axes.plot(*place, "o", color=ORANGE, markersize=8, markeredgecolor="white", label="pipeline's threshold")
        axes.legend(loc="lower left")
        average = number(label.average_precision.value)
        return inline(figure, key=key, alt=f"Precision and recall of {short(label.name)}, average precision {average}")


def reliability(label: LabelFigures, key: str) -> Markup:
    """How often things are so, over how probable they were said to be; larger dots stand for more rows."""
    bins = [one for one in label.calibration.bins if one.rows]
    most = max((one.rows for one in bins), default=1)
    with drawing():
        figure, axes = _square("Mean probability said", "Share that is positive")
        axes.plot((0, 1), (0, 1), color=GREY, linestyle="dotted", linewidth=1, label="perfectly calibrated")
        said = [one.mean_probability or 0.0 for one in bins]
        so = [one.positive_fraction or 0.0 for one in bins]
        axes.plot(said, so, color=BLUE, linewidth=1)
        sizes = [12 + 90 * one.rows / most for one in bins]
        axes.scatter(said, so, s=sizes, color=BLUE, edgecolors="white", zorder=3, clip_on=False)
        axes.legend(loc="upper left")
        error = number(label.calibration.expected_error.value)
        alt = f"Reliability of {short(label.name)} in {len(bins)} bins, expected calibration error {error}"
        return inline(figure, key=key, alt=alt)


def scores(label: LabelFigures, key: str) -> Markup:
    """How many rows have which probability, positives on top of negatives."""
    bins = label.calibration.bins
    positives = [round(one.rows * (one.positive_fraction or 0)) for one in bins]
    negatives = [one.rows - positive for one, positive in zip(bins, positives, strict=True)]
    left, width = [one.low for one in bins], [one.high - one.low for one in bins]
    with drawing():
        figure, axes = _axes("Probability", "Number")
        axes.bar(left, negatives, width, align="edge", color=BLUE, edgecolor="white", label="reference negative")
        axes.bar(
            left,
            positives,
            width,
            bottom=negatives,
            align="edge",
            color=ORANGE,
            edgecolor="white",
            hatch="///",
            label="reference positive",
        )
        if label.at_spec.threshold is not None:
            axes.axvline(label.at_spec.threshold, color="black", linestyle="dashed", linewidth=1, label="threshold")
        axes.set_xlim(0, 1)
        _above(axes)
        alt = f"Histogram of the probabilities of {short(label.name)}, reference positives apart from negatives"
        return inline(figure, key=key, alt=alt)


def forest(labels: Sequence[LabelFigures], key: str) -> Markup | None:
    """AUROC and interval of every label; None where fewer than two have one."""
    known = [(label, label.auroc.value) for label in labels if label.auroc.value is not None]
    if len(known) < 2:
        return None
    with drawing():
        figure = Figure(figsize=(8, 0.8 + 0.28 * len(known)), layout="constrained")
        axes = figure.add_subplot()
        for place, (label, value) in enumerate(known):
            if label.auroc.interval:
                axes.plot((label.auroc.interval.low, label.auroc.interval.high), (place, place), color=BLUE)
            axes.plot(value, place, "o", color=BLUE)
        axes.set_yticks(range(len(known)), [short(label.name) for label, _ in known])
        axes.invert_yaxis()
        axes.axvline(0.5, color=GREY, linestyle="dotted", linewidth=1)
        axes.set_xlim(0, 1.01)
        axes.set_xlabel("AUROC (dotted: chance)")
        alt = "AUROC with its interval: " + ", ".join(f"{short(label.name)} {value:.3f}" for label, value in known)
        return inline(figure, key=key, alt=alt)


def box_curves(boxes: BoxFigures, key: str) -> Markup | None:
    """Precision over recall at IoU 0.5, a line per class; None where no box of any class was found."""
    known = [(one, one.curve) for one in boxes.classes if one.curve is not None]
    if not known:
        return None
    with drawing():
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        _unit(axes, "Recall", "Precision")
        for place, (one, curve) in enumerate(known):
            name = f"{short(one.label)} (AP50 {number(one.ap50.value)})"
            colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
            axes.plot(curve.recall, curve.precision, color=colour, linestyle=dash, linewidth=1.8, label=name)
            axes.plot(curve.recall[:1], curve.precision[:1], "o", color=colour, markersize=4)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        alt = "Precision over recall of boxes at IoU 0.5, by class: " + ", ".join(
            f"{short(one.label)} AP50 {number(one.ap50.value)}" for one, _ in known
        )
        return inline(figure, key=key, alt=alt)


def overlap(masks: MaskFigures, key: str) -> Markup | None:
    """How many images have which Dice and which IoU; None where no image has any."""
    if not masks.dice_per_image:
        return None
    with drawing():
        figure, axes = _axes("Dice or IoU of an image", "Images")
        axes.hist(masks.dice_per_image, BINS, color=BLUE, edgecolor="white", label="Dice")
        axes.hist(masks.iou_per_image, BINS, histtype="step", color=ORANGE, linewidth=1.8, label="IoU")
        axes.set_xlim(0, 1)
        _above(axes)
        alt = f"Histogram of Dice and IoU of {len(masks.dice_per_image)} images"
        return inline(figure, key=key, alt=alt)


def number(value: float | None) -> str:
    """Three decimals, or that it is not defined."""
    return "not defined" if value is None else f"{value:.3f}"


def _operating_point(point: AtThreshold | None) -> tuple[float, float] | None:
    """False and true positive rate."""
    if point is None:
        return None
    rates: list[Estimate] = [point.figures["specificity"], point.figures["recall"]]
    specificity, recall = (rate.value for rate in rates)
    return None if specificity is None or recall is None else (1 - specificity, recall)


def _axes(x: str, y: str, frame: tuple[float, float, float, float] = BELOW_A_LEGEND) -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE)
    axes = figure.add_axes(frame)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure, axes = _axes(x, y, SQUARE)
    _unit(axes, x, y)
    return figure, axes


def _unit(axes: Axes, x: str, y: str) -> None:
    """Both axes from 0 to 1."""
    axes.set(xlabel=x, ylabel=y, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))


def _above(axes: Axes) -> None:
    """The legend over the bars, so that it hides none; only whole numbers as counts."""
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1, handlelength=1.4)
