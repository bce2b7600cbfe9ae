"""Profiles of the CT pipelines: what kind of answer each gives, and the figures that make it."""

from __future__ import annotations

from dataclasses import dataclass

from radserve_contract.spec import DECISION, Profile, Threshold

RISK = "risk"
RISK_LEVELS = ("Low", "Moderate", "High")
MARKED, NOT_MARKED = "marked", "nothing marked"


@dataclass(frozen=True, slots=True)
class Label:
    """One thing a network says yes or no to. ``definition`` is one sentence for the reader; empty where none is known.

    ``positive`` and ``negative`` are the words of the answer.
    """

    name: str
    threshold: Threshold
    positive: str = "present"
    negative: str = "absent"
    definition: str = ""


def _label_outcomes(labels: tuple[Label, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((label.name, status) for label in labels for status in (label.positive, label.negative))


@dataclass(frozen=True, slots=True)
class HuWindow:
    """A Hounsfield window: values from ``center - width / 2`` to ``center + width / 2`` become 0 to 1, clipped."""

    name: str
    center: float
    width: float


@dataclass(frozen=True, slots=True)
class SliceLabelsProfile(Profile):
    """Slices in; independent labels of each slice, and of a series the highest score of each label, out.

    ``output`` of the Triton model ``network`` is ``(N, len(labels))``: sigmoid probabilities in that order.
    ``any_label`` decides the headline; only when it is positive is a subtype named, the most probable other one.
    ``clip`` are the stored values that survive.
    """

    network: str
    output: str
    labels: tuple[Label, ...]
    any_label: str
    clip: tuple[int, int]

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The one network."""
        return (self.network,)

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """The headline, with each subtype that it may name, and each label present or absent."""
        labels = {label.name: label for label in self.labels}
        decisive = labels.pop(self.any_label)
        named = ((DECISION, self.headline(decisive.positive, subtype)) for subtype in labels)
        return (*named, (DECISION, decisive.negative), *_label_outcomes(self.labels))

    @staticmethod
    def headline(positive: str, subtype: str) -> str:
        """The words of a positive headline."""
        return f"{positive}: {subtype}"


@dataclass(frozen=True, slots=True)
class Reslice:
    """How a head CT becomes a fixed number of slices.

    Resliced along the slice normal to ``spacing_mm`` (trilinear); of more than ``slices`` the middle ones are taken,
    from ``floor((n - slices) / 2)`` on; fewer are padded at both ends (the odd one at the top) with ``padding_hu``.
    """

    spacing_mm: float
    slices: int
    padding_hu: float


@dataclass(frozen=True, slots=True)
class VolumeLabelsProfile(Profile):
    """A volume in; independent labels of the whole volume out.

    ``output`` of the Triton model ``network`` is ``(N, len(labels))``: sigmoid probabilities in that order. ``windows``
    are the channels, in order.
    """

    network: str
    output: str
    labels: tuple[Label, ...]
    windows: tuple[HuWindow, ...]
    reslice: Reslice

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The one network."""
        return (self.network,)

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """Each label present or absent."""
        return _label_outcomes(self.labels)


@dataclass(frozen=True, slots=True)
class Grade:
    """One class of an organ: what it is called, and the probability (softmax) from which it may be chosen."""

    name: str
    severity: str
    threshold: Threshold


@dataclass(frozen=True, slots=True)
class Organ:
    """A head with several exclusive grades, the healthy one first.

    Of the grades whose threshold is met the most probable is chosen; when none is met, the first.
    """

    name: str
    output: str
    grades: tuple[Grade, ...]


@dataclass(frozen=True, slots=True)
class Injury:
    """A head with one logit: ``label`` on its sigmoid."""

    output: str
    label: Label


@dataclass(frozen=True, slots=True)
class RiskRule:
    """The overall risk of the trained system, from raw probabilities; it may contradict a thresholded grade.

    High when an injury is positive or an organ's last grade is over ``high_above``; else Moderate when an organ's
    second grade is over ``moderate_above``; else Low.
    """

    high_above: float
    moderate_above: float


@dataclass(frozen=True, slots=True)
class OrganGradingProfile(Profile):
    """An abdominal volume in; injuries yes or no, a grade per organ, and an overall risk out.

    ``flips`` are the axes of the ``(X, Y, Z)`` tensor that are mirrored, one at a time, for test-time augmentation:
    the study and its mirror images go to Triton as one request of ``1 + len(flips)`` items, and the mean of their
    logits decides. ``cams`` is the output ``(N, classes, x, y, z)`` of class activation maps, ``cam_classes`` its
    classes as ``head`` or ``head:grade``.
    """

    network: str
    injuries: tuple[Injury, ...]
    organs: tuple[Organ, ...]
    risk: RiskRule
    flips: tuple[int, ...]
    cams: str
    cam_classes: tuple[str, ...]

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The one network."""
        return (self.network,)

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """Each injury, each organ's grades, and the risk."""
        return (
            *_label_outcomes(tuple(injury.label for injury in self.injuries)),
            *((organ.name, grade.name) for organ in self.organs for grade in organ.grades),
            *((RISK, level) for level in RISK_LEVELS),
        )

    @property
    def heads(self) -> tuple[str, ...]:
        """Every head by name, injuries first."""
        return (*(injury.label.name for injury in self.injuries), *(organ.name for organ in self.organs))


@dataclass(frozen=True, slots=True)
class SegmentationProfile(Profile):
    """Slices in; a probability map of each slice, and what of it is over ``threshold``, out.

    ``output`` of the Triton model ``network`` is ``(N, 1, rows, columns)``: probabilities of ``label`` on the tensor's
    grid.
    """

    network: str
    output: str
    label: str
    threshold: Threshold

    @property
    def entry_models(self) -> tuple[str, ...]:
        """The one network."""
        return (self.network,)

    @property
    def outcomes(self) -> tuple[tuple[str, str], ...]:
        """Something is marked, or nothing."""
        return ((self.label, MARKED), (self.label, NOT_MARKED))
