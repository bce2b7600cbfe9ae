"""What the trained systems' authors state of their figures, and with what they measured them.

A figure stands beside a measured one only where profile and data set are the same; elsewhere it says what differs. The
contract holds the systems' headline figures (docs/model-cards); here are those, and what else there is in public.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from radserve_client.evaluate.values import Estimate, Evaluation, Published
from radserve_contract.pipelines import pipeline as pipeline_of
from radserve_contract.spec import DECISION, PublishedFigure

ANY_PROFILE = ""
"""Of a figure that no profile reproduces."""
DATA_OF = {"spine": "vindr_spinexr", "abdominal_trauma": "rsna_2023", "covid_lung": "masks"}
"""The label format of the data that a system's figures are of."""
MEASURED = {
    "AUROC": "auroc",
    "F1": "f1",
    "sensitivity": "recall",
    "specificity": "specificity",
}
"""Published figures of the decision, and what they are called here."""

_SPINE_TEST = "VinDr-SpineXR test set, 2,078 images"
_PAPER = "the data set's paper"
_README = "trained system's README"
_TRAUMA_TEST = "the authors' held-out RSNA 2023 scans, n = 411"
_TRAUMA_VALIDATION = "the authors' RSNA 2023 validation scans, n = 412"
_MATRICES = "computed from the confusion matrices printed in the trained system's notebook"
_HISTORY = "last epoch in the trained system's notebook"
_LUNG = "a slice-level split of MosMed and Kaggle covid19-ct-scans; patients on both sides"

_OF_SPEC = {
    "spine": "of that test set only, and optimistic: the threshold and the weights of the mean were chosen on it",
    "abdominal_trauma": "which thresholds made it is not proven; split by scan, so a patient may be on both sides",
    "covid_lung": "another measure than IoU here: only a probability of exactly 1 counts, and empty columns count as 1",
}
_DETECTOR = "the AP of the detector's whole curve on every film, at its own letterbox; here it is of the boxes shown"
_ALONE = "one of the three networks alone; its input size and augmentation are not stated"
_OTHER_SYSTEM = "another system: the paper's own networks"


@dataclass(frozen=True, slots=True)
class _More:
    """A figure that the contract does not have; none is reproduced by a profile."""

    figure: str
    value: float
    data: str
    source: str
    remark: str


def _rows(names: tuple[str, ...], values: str) -> Iterator[tuple[str, float]]:
    return zip(names, map(float, values.split()), strict=True)


_HEADS = ("bowel", "extravasation", "kidney", "liver", "spleen")
_TEST_FIGURES = {
    "accuracy": ".961 .844 .859 .564 .788",
    "precision": ".571 .353 .606 .670 .613",
    "recall": ".444 .222 .428 .388 .410",
}
_VALIDATION_FIGURES = {
    "F1": ".566 .481 .551 .471 .508",
    "AUROC": ".922 .772 .661 .688 .705",
    "accuracy": ".944 .837 .871 .684 .735",
}
_ORGANS_ARE_MACRO = "organs: macro average of the three grades"

MORE: dict[str, tuple[_More, ...]] = {
    "spine": (
        _More("AUROC, DenseNet121", 0.9025, _SPINE_TEST, _README, f"{_ALONE}; elsewhere the author says 0.8693"),
        _More("AUROC, EfficientNetV2-S", 0.8944, _SPINE_TEST, _README, _ALONE),
        _More("AUROC, ResNet50", 0.8888, _SPINE_TEST, _README, _ALONE),
        _More("AUROC", 0.8861, _SPINE_TEST, _PAPER, _OTHER_SYSTEM),
        _More("F1", 0.8106, _SPINE_TEST, _PAPER, f"{_OTHER_SYSTEM}, at 0.2808 (Youden)"),
        _More("sensitivity", 0.8307, _SPINE_TEST, _PAPER, f"{_OTHER_SYSTEM}, at 0.2808 (Youden)"),
        _More("specificity", 0.7932, _SPINE_TEST, _PAPER, f"{_OTHER_SYSTEM}, at 0.2808 (Youden)"),
        _More(
            "detector mAP50",
            0.4010,
            _SPINE_TEST,
            "another repository of the author",
            f"{_DETECTOR}; another training (55 epochs), and its tables by class disagree with each other",
        ),
        _More("detector mAP50", 0.3315, _SPINE_TEST, _PAPER, _OTHER_SYSTEM),
        _More("detector mAP50 with fusion", 0.3356, _SPINE_TEST, _PAPER, _OTHER_SYSTEM),
    ),
    "abdominal_trauma": (
        *(
            _More(
                f"{head} {figure}",
                value,
                _TRAUMA_TEST,
                _MATRICES,
                f"{_OF_SPEC['abdominal_trauma']}; {_ORGANS_ARE_MACRO}",
            )
            for figure, values in _TEST_FIGURES.items()
            for head, value in _rows(_HEADS, values)
        ),
        *(
            _More(
                f"{head} {figure}",
                value,
                _TRAUMA_VALIDATION,
                _HISTORY,
                f"the epoch was chosen on these scans; thresholds not proven; {_ORGANS_ARE_MACRO}",
            )
            for figure, values in _VALIDATION_FIGURES.items()
            for head, value in _rows(_HEADS, values)
        ),
    ),
    "covid_lung": (
        _More("IoU", 0.05, "not stated", _README, "how it was computed is not stated; contradicts the others"),
        _More("mean IoU", 0.96, "not stated", "trained system's slides", "how it was computed is not stated"),
        _More("validation IoU, last epoch", 0.9729, _LUNG, "trained system's notebook", _OF_SPEC["covid_lung"]),
    ),
}


def published_for(pipeline: str, profile: str, labels_format: str) -> tuple[Published, ...]:
    """All published figures of ``pipeline``: first those of this profile and data set, then the others."""
    spec = pipeline_of(pipeline)
    stated = [_of_spec(pipeline, figure, profile, labels_format) for figure in spec.published]
    more = [
        Published(one.figure, one.value, ANY_PROFILE, one.data, one.source, comparable=False, remark=one.remark)
        for one in MORE.get(pipeline, ())
    ]
    return tuple(sorted((*stated, *more), key=lambda figure: not figure.comparable))


def _of_spec(pipeline: str, figure: PublishedFigure, profile: str, labels_format: str) -> Published:
    differs = tuple(_differences(pipeline, figure, profile, labels_format))
    known = _DETECTOR if figure.metric.startswith("detector") else _OF_SPEC.get(pipeline, "")
    return Published(
        figure.metric,
        figure.value,
        figure.profile,
        figure.data,
        figure.source,
        comparable=not differs,
        remark="; ".join(filter(None, (*differs, known))),
    )


def _differences(pipeline: str, figure: PublishedFigure, profile: str, labels_format: str) -> Iterator[str]:
    """What keeps the figure from standing beside one of ``profile`` on data of ``labels_format``."""
    if figure.profile == ANY_PROFILE:
        yield "no profile reproduces how it was measured"
    elif figure.profile != profile:
        yield f"measured with profile {figure.profile}, this is {profile}"
    if labels_format != DATA_OF.get(pipeline):
        yield f"measured on other data than labels of the format {labels_format}"


def measured(evaluation: Evaluation, published: Published) -> Estimate | None:
    """What this evaluation says where ``published`` is comparable; None where there is no such figure."""
    name = MEASURED.get(published.figure)
    label = next((label for label in evaluation.labels if label.name == DECISION), None)
    if not published.comparable or name is None or label is None:
        return None
    return label.auroc if name == "auroc" else label.at_spec.figures[name]
