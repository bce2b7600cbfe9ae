"""A recorded file to the gauges that drift is measured against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from radserve_contract.findings import ModelIdentity
from radserve_contract.pipelines import spine
from radserve_contract.spec import ModelKind
from radserve_preproc.app import create_app
from radserve_preproc.metrics import Metrics
from radserve_preproc.score_reference import SCORE_EDGES, Distribution, Reference, as_document, read_references
from radserve_preproc.settings import ConfigurationError, Settings
from tests.fake_triton import FakeTriton, digest_of
from tests.live_service import LiveService

SHARES = (0.5, 0.25, *(0.0 for _ in SCORE_EDGES[3:]), 0.25)
NETWORKS = [spec.name for spec in spine.DEPLOYED.models if spec.kind is not ModelKind.ENSEMBLE]


def reference(**models: str) -> Reference:
    """Of the spine pipeline's headline; by default of the models that FakeTriton has."""
    of = models or {name: digest_of(name) for name in NETWORKS}
    return Reference("spine", "deployed", of, {"decision": Distribution(800, SHARES)})


def document(**changes: Any) -> dict[str, Any]:
    """A good file with some entries of it, or of its one finding, replaced."""
    found = as_document([reference()], recorded_at="2026-01-01T00:00:00+00:00", days=28)
    finding = found["references"][0]["findings"]["decision"]
    for name, value in changes.items():
        (finding if name in finding else found)[name] = value
    return found


def write(path: Path, content: Any) -> str:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_references(write(tmp_path / "reference.json", document())) == (reference(),)
    assert read_references("") == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Expecting property name"),
        ([], "list indices"),
        ({}, "it has no 'format'"),
        (document(format=2), "format is 2, wanted 1"),
        (document(edges=[0.5, 1.0]), "its bins are not those"),
        (document(studies=499), "decision was recorded of 499 studies; fewer than 500"),
        (document(shares=SHARES[1:]), "wanted 20 shares"),
        (document(shares=(1.5, *SHARES[1:])), "shares from 0 to 1"),
        (document(shares=(0.4, *SHARES[1:])), "add up to 0.9, not 1"),
        (
            document(references=[{"pipeline": "spine", "profile": "deployed", "models": {}, "findings": {}}]),
            "no models",
        ),
    ],
)
def test_a_file_that_is_none_stops_the_service_with_what_is_wrong(tmp_path: Path, content: Any, said: str) -> None:
    path = write(tmp_path / "reference.json", content)
    with pytest.raises(ConfigurationError, match="RADSERVE_SCORE_REFERENCE: ") as caught:
        create_app(Settings(score_reference=path))
    assert said in str(caught.value)
    assert path in str(caught.value)


def test_a_file_that_is_not_there_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        create_app(Settings(score_reference=str(tmp_path / "nothing.json")))


def samples(references: list[Reference], identities: list[ModelIdentity]) -> dict[str, dict[tuple[str, str], float]]:
    """The gauges by name, then by edges."""
    metrics = Metrics(references)
    metrics.show_models(lambda: identities)
    found: dict[str, dict[tuple[str, str], float]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            if sample.name.startswith("radserve_score_reference"):
                edges = (sample.labels.get("above", ""), sample.labels.get("le", ""))
                found.setdefault(sample.name, {})[edges] = sample.value
    return found


def identity(name: str, digest: str) -> ModelIdentity:
    return ModelIdentity(name, "1", digest, trained=True)


def test_each_bin_has_its_two_edges_and_its_share() -> None:
    found = samples([reference(a="1")], [identity("a", "1"), identity("b", "2")])
    shares = found["radserve_score_reference_share"]
    assert len(shares) == 20
    assert shares["0", "0.05"] == 0.5
    assert shares["0.05", "0.1"] == 0.25
    assert shares["0.95", "1.0"] == 0.25
    assert found["radserve_score_reference_studies"] == {("", ""): 800}
    assert found["radserve_score_reference_current"] == {("", ""): 1}


@pytest.mark.parametrize("identities", [[], [identity("a", "2")], [identity("b", "1")]])
def test_a_reference_of_other_models_is_said_to_be_one_and_not_compared_with(identities: list[ModelIdentity]) -> None:
    found = samples([reference(a="1")], identities)
    assert found == {"radserve_score_reference_current": {("", ""): 0}}


def test_without_a_file_nothing_is_said() -> None:
    assert samples([], [identity("a", "1")]) == {}


def test_a_running_service_shows_the_edges_as_its_own_histogram_does(tmp_path: Path) -> None:
    path = write(tmp_path / "reference.json", document())
    with LiveService(FakeTriton(), score_reference=path) as live:
        assert live.metric("radserve_score_reference_current", pipeline="spine", profile="deployed") == 1
        families = {family.name: family for family in live.app.state.service.metrics.registry.collect()}
        live.app.state.service.metrics._scores.labels("spine", "deployed", "decision").observe(0.5)
        own = {
            sample.labels["le"]
            for family in live.app.state.service.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "radserve_score_bucket"
        }
        shown = {sample.labels["le"] for sample in families["radserve_score_reference_share"].samples}
    assert shown == own - {"+Inf"}
