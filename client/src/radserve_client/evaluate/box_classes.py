"""Names of lesions as the detector and as the labels spell them in, one class per lesion out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SPELLINGS = {"spondylolisthesis": "spondylolysthesis", "spondilolisthesis": "spondylolysthesis"}
"""Ways to write one lesion; the data set writes the second. The trained system's own files use both."""
OTHER = "Other lesions"
RARE = frozenset(
    "ankylosis; enthesophytes; fracture; sclerotic; sclerotic lesion; subchondral sclerosis; foreign body; other".split(
        "; "
    )
)
"""Lesions with 6 to 87 boxes in all of VinDr-SpineXR's training set: its authors fold them into ``Other lesions``."""


def same(name: str) -> str:
    """What two spellings of one lesion have in common: no case, no double spaces, one of the known variants."""
    plain = " ".join(name.casefold().replace("_", " ").split())
    return SPELLINGS.get(plain, plain)


@dataclass(frozen=True, slots=True)
class Classes:
    """``names`` in alphabetical order; ``of`` says of a spelling which of them it is.

    ``folded`` are the reference's names that became ``Other lesions``, ``only_predicted`` the classes without a
    reference name, ``only_reference`` those that the detector never said.
    """

    names: tuple[str, ...]
    of: Mapping[str, int]
    folded: tuple[str, ...]
    only_predicted: tuple[str, ...]
    only_reference: tuple[str, ...]


def joined(reference: Iterable[str], predicted: Iterable[str]) -> Classes:
    """The classes of both sides, mapped by name; rare lesions are folded where the detector does not know them."""
    spoken, written = sorted(set(predicted)), sorted(set(reference))
    known = {same(name) for name in spoken}
    folded = tuple(name for name in written if same(name) in RARE and same(name) not in known)
    shown: dict[str, str] = {}
    for name in (*written, *spoken):  # the reference's spelling is shown where there are two
        shown.setdefault(same(OTHER if name in folded else name), OTHER if name in folded else name)
    order = {key: at for at, key in enumerate(sorted(shown, key=lambda key: shown[key].casefold()))}
    of = {name: order[same(OTHER if name in folded else name)] for name in (*written, *spoken)}
    names = tuple(sorted(shown.values(), key=str.casefold))
    in_reference, in_predictions = {of[name] for name in written}, {of[name] for name in spoken}
    return Classes(
        names,
        of,
        folded,
        only_predicted=tuple(names[at] for at in sorted(in_predictions - in_reference)),
        only_reference=tuple(names[at] for at in sorted(in_reference - in_predictions)),
    )
