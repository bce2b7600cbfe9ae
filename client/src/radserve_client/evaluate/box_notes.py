"""What the films say of their detections in; the sentences without which the figures of boxes would mislead, out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from radserve_client.evaluate.average_precision import MAX_BOXES
from radserve_client.evaluate.box_classes import OTHER, Classes
from radserve_client.evaluate.labels.table import LabelledBox

OUTSIDE_PX = 1.0
"""By how much a reference box may stick out of the image, as rounding makes it."""
NO_ANSWER = "the answer has no detections"
DEPLOYED = (
    "These figures are of the deployed operating point. The results hold the boxes that the system shows, those from"
    " confidence {confidences} on, and none below; so the precision-recall curve ends early, and AP is lower than"
    " the AP over a detector's whole curve that publications state."
)


@dataclass(frozen=True, slots=True)
class Films:
    """By film: what the answer says of its detections (None: nothing), its image, its reference boxes."""

    detections: tuple[dict[str, Any] | None, ...]
    images: tuple[dict[str, Any] | None, ...]
    references: tuple[tuple[LabelledBox, ...], ...]

    @property
    def boxes(self) -> tuple[list[dict[str, Any]], ...]:
        """The predicted boxes."""
        return tuple((one or {}).get("boxes") or [] for one in self.detections)

    @property
    def ran(self) -> tuple[bool, ...]:
        """Whether the detector looked at the film."""
        return tuple(bool(one and one["ran"]) for one in self.detections)

    @property
    def confidences(self) -> tuple[float, ...]:
        """The thresholds in use, highest first: a film without boxes at the first was looked at with the next."""
        used = {one["confidence_threshold"] for one in self.detections if one and one["ran"]} - {None}
        return tuple(sorted(used, reverse=True))


def notes(films: Films, classes: Classes, dropped: int) -> tuple[str, ...]:
    """What the reader of box figures must know, most important first. ``dropped`` reference boxes had no area."""
    return tuple(_notes(films, classes, dropped))


def _notes(films: Films, classes: Classes, dropped: int) -> Iterator[str]:
    if resized := sum(map(_sticks_out, films.references, films.images)):
        yield (
            f"{resized} films have reference boxes outside the scored image. If the images were resized or cropped"
            " before they were scored, none of these figures means anything: score the originals."
        )
    yield DEPLOYED.format(confidences=", or ".join(f"{value:g}" for value in films.confidences) or "unknown")
    yield from _not_looked_at(films)
    yield from _on_classes(classes)
    if dropped:
        yield f"{dropped} reference boxes without an area were left out."
    if any(len(boxes) > MAX_BOXES for boxes in films.boxes):
        yield f"Of more than {MAX_BOXES} boxes of one class on a film, the most confident {MAX_BOXES} count (COCO)."


def _not_looked_at(films: Films) -> Iterator[str]:
    absent = [one for one, ran in zip(films.detections, films.ran, strict=True) if not ran]
    if not absent:
        return
    reasons = Counter((one or {}).get("reason") or NO_ANSWER for one in absent)
    counted = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
    missed = sum(len(boxes) for boxes, ran in zip(films.references, films.ran, strict=True) if not ran)
    yield (
        f"The detector did not run on {len(absent)} of {len(films.detections)} films ({counted}). They count as films"
        f" without boxes, so their {missed} reference boxes are missed. Score with detect=always to measure the"
        " detector alone."
    )


def _on_classes(classes: Classes) -> Iterator[str]:
    if classes.folded:
        yield f"Counted as {OTHER}, as the data set's authors do: {', '.join(classes.folded)}."
    if classes.only_predicted:
        yield (
            f"Without reference boxes, so without AP and not in the means: {', '.join(classes.only_predicted)}."
            " Classes are compared by name."
        )
    if classes.only_reference:
        yield f"Never predicted on these films: {', '.join(classes.only_reference)}."


def _sticks_out(boxes: tuple[LabelledBox, ...], image: dict[str, Any] | None) -> bool:
    if not image or not image["rows"] or not image["columns"]:
        return False
    right, bottom = image["columns"] + OUTSIDE_PX, image["rows"] + OUTSIDE_PX
    return any(box.x_max > right or box.y_max > bottom or min(box.x_min, box.y_min) < -OUTSIDE_PX for box in boxes)
