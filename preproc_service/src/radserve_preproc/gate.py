"""The words of a header in, pass or refusal out: is this a body part that the pipeline was trained on?"""

from __future__ import annotations

import re
from collections.abc import Iterable

from radserve_contract.findings import Notice
from radserve_contract.spec import BodyPartGate
from radserve_preproc.errors import WrongBodyPart
from radserve_preproc.notices import NoticeCode, notice

_LETTERS = re.compile(r"[^\W\d_]+")


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """The words of ``texts`` in capitals, split at everything that is not a letter: "C-SPINE lat." is C, SPINE, LAT.

    A plural S is taken off as well ("KNEES" gives KNEES and KNEE), because the gate lists singulars.
    """
    words = {word.upper() for text in texts for word in _LETTERS.findall(text)}
    return frozenset(words | {word.removesuffix("S") for word in words})


def check_body_part(texts: Iterable[str], gate: BodyPartGate, *, pipeline: str) -> tuple[Notice, ...]:
    """Let a study pass that names a wanted body part, or none at all; wanted words win over unwanted ones.

    Parameters
    ----------
    texts
        Body Part Examined (0018,0015), Study and Series Description (0008,1030), (0008,103E), and the meanings of the
        Anatomic Region Sequence (0008,2218).

    Raises
    ------
    WrongBodyPart
        When only unwanted body parts are named. The message holds the words found in the gate's own list and nothing
        else of the texts, which may name the patient.
    """
    words = words_of(texts)
    wanted, unwanted = sorted(words & gate.wanted), sorted(words & gate.unwanted)
    if unwanted and not wanted:
        raise WrongBodyPart(
            f"the header names {', '.join(unwanted)} in Body Part Examined (0018,0015) or a description; {pipeline} was"
            " trained for none of these. If the header is wrong, correct it and send the study again",
            found=unwanted,
        )
    if unwanted:
        return (
            notice(
                NoticeCode.OTHER_BODY_PART,
                f"the header names {', '.join(unwanted)} beside {', '.join(wanted)}; taken for {', '.join(wanted)}",
            ),
        )
    return () if wanted else (body_part_unknown(pipeline),)


def body_part_unknown(pipeline: str) -> Notice:
    """What is said of a study that names no body part: it passes, as in the trained system, but not in silence."""
    return notice(
        NoticeCode.BODY_PART_UNKNOWN,
        f"nothing says which body part is shown; {pipeline} answers on anything it is given, and its answer on another"
        " body part means nothing",
    )
