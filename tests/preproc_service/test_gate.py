"""Which studies pass the body-part gate, and what is said about the others."""

from __future__ import annotations

import pytest

from radserve_contract.pipelines.spine import SPEC
from radserve_preproc.errors import WrongBodyPart
from radserve_preproc.gate import check_body_part, words_of


def passes(*texts: str) -> list[str]:
    """Codes of the notices on a study with these texts."""
    return [notice.code for notice in check_body_part(texts, SPEC.gate, pipeline="spine")]


@pytest.mark.parametrize(
    "text",
    "CSPINE LSPINE TSPINE C-SPINE l-spine SPINE_LAT LUMBAR sacrum VERTEBRAE Thoracic L5/SPINE 2SPINE spine.ap".split(),
)
def test_spine_words_pass(text: str) -> None:
    assert passes(text) == []


@pytest.mark.parametrize("text", ["CHEST_PA", "Thorax lat", "KNEES", "RIBS", "both hands", "arm", "SKULL/AP", "TEETH"])
def test_words_of_other_parts_are_refused(text: str) -> None:
    with pytest.raises(WrongBodyPart):
        passes(text)


@pytest.mark.parametrize(
    "text", ["", "L5", "PHARMACY", "Warmington", "HEADLINE", "Kneeling 2 views", "ARMADA", "spiney"]
)
def test_words_that_only_contain_a_part_name_none(text: str) -> None:
    assert passes(text) == ["BODY_PART_UNKNOWN"]


def test_spine_words_win_over_others_and_the_others_are_told() -> None:
    assert passes("CHEST", "Thoracic spine", "") == ["OTHER_BODY_PART"]
    assert passes("SPINE", "pelvis and hips") == ["OTHER_BODY_PART"]


def test_words_are_gathered_from_all_texts() -> None:
    with pytest.raises(WrongBodyPart) as caught:
        passes("", "CHEST pa", "Left knee")
    assert caught.value.details["found"] == ["CHEST", "KNEE"]


def test_a_refusal_tells_only_words_of_the_gates_own_list() -> None:
    with pytest.raises(WrongBodyPart) as caught:
        passes("CHEST", "CHEST pa for Dr Livingstone, patient Stanley", "13.07.1931")
    assert caught.value.details == {"found": ["CHEST"]}
    for word in ("Livingstone", "LIVINGSTONE", "Stanley", "STANLEY", "1931"):
        assert word not in caught.value.message


def test_texts_split_at_everything_that_is_not_a_letter() -> None:
    assert words_of(["C-Spine_lat.2", "Bäcken"]) == {"C", "SPINE", "LAT", "BÄCKEN"}
    assert {"KNEE", "KNEES"} <= words_of(["knees"])


def test_wanted_and_unwanted_words_do_not_overlap() -> None:
    assert not SPEC.gate.wanted & SPEC.gate.unwanted
    assert not {word + "S" for word in SPEC.gate.unwanted} & SPEC.gate.wanted
