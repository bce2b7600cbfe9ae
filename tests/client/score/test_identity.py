"""By what an item is known in every run, and identifiers that say nothing of a patient."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radserve_client.score.errors import WrongUse
from radserve_client.score.identity import Identifiers, RunIdentity, new_run_id, readable
from radserve_client.score.way import Ask, Served
from radserve_contract.findings import ModelIdentity
from tests.client.score.answers import MODELS, document, item, run

KEY = Identifiers(b"k" * 16)
OTHER_MODEL = replace(MODELS[1], digest="f" * 64)


@pytest.mark.parametrize(
    "other",
    [
        run("hemorrhage"),
        replace(run(), profile="published"),
        run(models=MODELS[:1]),
        run(models=(MODELS[0], OTHER_MODEL)),
        run(models=(MODELS[0], replace(MODELS[1], version="2"))),
        run(ids=KEY),
    ],
)
def test_another_pipeline_profile_model_or_hash_key_is_another_key(other: RunIdentity) -> None:
    assert other.key_of(item()) != run().key_of(item())
    assert other.subject_of(item()) != run().subject_of(item())


def test_a_key_is_the_same_whatever_the_run_the_way_and_the_order_of_models() -> None:
    again = run(run_id="run-2", via="triton", models=MODELS[::-1])
    assert again.key_of(item()) == run().key_of(item())
    assert len(run().key_of(item())) == 16


def test_other_content_is_another_key_of_the_same_subject() -> None:
    changed = item(fingerprint="100:2")
    assert run().key_of(changed) != run().key_of(item())
    assert run().subject_of(changed) == run().subject_of(item())


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_items_share_a_key_only_if_source_and_fingerprint_are_the_same(
    one: tuple[str, str], two: tuple[str, str]
) -> None:
    keys = [run().key_of(replace(item(), source=source, fingerprint=mark)) for source, mark in (one, two)]
    assert (keys[0] == keys[1]) == (one == two)


def test_keys_are_the_same_in_every_version_of_the_program() -> None:
    # a resumed run of a newer version must find what an older one did
    assert run().key_of(item()).hex() == "c85cf940b3678d8401b4dd432aa0b571"


def test_an_answer_of_fewer_networks_is_of_the_same_models() -> None:
    fewer = document() | {"models": document()["models"][:1]}
    assert run().other_models(fewer) is None


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ((MODELS[0], OTHER_MODEL), "network_1: version 1 (111111111111) answers, the run started with version 1 (ffff"),
        (MODELS[:1], "network_1 answers, which this run did not start with"),
    ],
)
def test_an_answer_of_other_networks_is_told_by_name(models: tuple[ModelIdentity, ...], said: str) -> None:
    found = run(models=models).other_models(document())
    assert found is not None
    assert found.startswith(said)


def test_a_run_is_of_what_is_served_and_asked_for() -> None:
    made = RunIdentity.of(Served("spine", "deployed", MODELS), Ask("spine", detect="always"), via="triton")
    assert (made.pipeline, made.profile, made.via, made.models) == ("spine", "deployed", "triton", MODELS)
    assert made.options == {"detect": "always"}
    assert made.run_id != new_run_id()


def test_hashes_need_the_key_and_are_the_same_with_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 16)
    ids = Identifiers.from_file(tmp_path / "key")
    assert ids.shown("1.2.3") == KEY.shown("1.2.3") != Identifiers(b"l" * 16).shown("1.2.3")
    assert "k" * 16 not in repr(ids)


def test_a_key_longer_than_the_hash_takes_is_used_whole(tmp_path: Path) -> None:
    for name, last in (("one", b"1"), ("two", b"2")):
        (tmp_path / name).write_bytes(b"k" * 100 + last)
    assert Identifiers.from_file(tmp_path / "one").shown("a") != Identifiers.from_file(tmp_path / "two").shown("a")


def test_a_short_key_file_is_refused_with_its_length_and_how_to_make_one(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 15)
    with pytest.raises(WrongUse, match="has 15 bytes, wanted at least 16; make one: head -c 32"):
        Identifiers.from_file(tmp_path / "key")


def test_a_missing_key_file_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="cannot be read: No such file"):
        Identifiers.from_file(tmp_path / "key")


def test_a_hashed_message_names_no_path_and_no_uid_but_those_of_the_standard() -> None:
    text = "/a/DOE.dcm of 1.2.826.0.1.1 is 1.2.840.10008.1.2.4.90, seen by 10.0.0.1"
    said = KEY.scrubbed(text, ["/a/DOE.dcm", "DOE.dcm"])
    assert (
        said == f"{KEY.shown('/a/DOE.dcm')} of {KEY.shown('1.2.826.0.1.1')} is 1.2.840.10008.1.2.4.90, seen by 10.0.0.1"
    )


def test_a_path_that_is_no_utf8_is_readable_and_has_a_key() -> None:
    path = os.fsdecode(b"/a/caf\xe9.dcm")
    assert readable(path) == "/a/caf\\xe9.dcm"
    assert readable("\ud800") == "\\ud800"
    assert run().key_of(item(path)) != run().key_of(item("/a/caf.dcm"))
