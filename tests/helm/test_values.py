"""values.yaml: every key says what it is, an unknown one is refused, and what is made from it is current."""

from __future__ import annotations

import functools
import json
import re

import helm_python as helm
import pytest
import yaml

from radserve_contract.pipelines import PIPELINES
from radserve_preproc.settings import Settings, load, variable
from tests.helm import generated, manifests
from tests.helm.chart import NAMES, chart, environment, preproc, render, rendered, values_of, with_changes
from tests.helm.values_file import VALUES, Key, flat, keys_of

TEXT = VALUES.read_text("utf-8")
KEYS = tuple(flat(keys_of(TEXT)))


def undocumented(text: str) -> list[str]:
    return [key.name for key in flat(keys_of(text)) if len(key.doc) < 3]


def test_every_key_says_what_it_is():
    assert len(KEYS) > 150
    assert undocumented(TEXT) == []


def test_a_key_without_documentation_would_be_seen():
    faulty = TEXT.replace("    # -- Pull policy\n", "", 1).replace(
        "# -- What all images share", "# What all images share"
    )

    assert undocumented(faulty) == ["global", "repository.oci.image.pullPolicy"]


def test_files_that_are_made_from_others_are_current():
    made = dict(generated.files())

    assert len(made) > 5
    stale = [str(path) for path, text in made.items() if not path.exists() or path.read_text("utf-8") != text]
    assert stale == [], f"run: {generated.COMMAND}"


def test_no_copy_is_left_of_what_monitoring_no_longer_has():
    assert generated.stale_copies() == [], f"run: {generated.COMMAND}"


@pytest.mark.parametrize("name", manifests.NAMES)
def test_the_plain_manifests_are_what_the_chart_renders(name: str):
    written = (manifests.FOLDER / f"{name}.yaml").read_text("utf-8")

    assert written == manifests.manifest(name), f"run: {generated.COMMAND}"
    assert {path.name for path in manifests.FOLDER.glob("*.yaml")} == {f"{name}.yaml" for name in manifests.NAMES}


def sections() -> list[Key]:
    return [key for key in KEYS if not key.is_open]


@pytest.mark.parametrize("key", sections(), ids=lambda key: key.name)
def test_an_unknown_key_is_refused_wherever_it_stands(key: Key):
    with pytest.raises(helm.HelmError, match="tYpo"):
        render(with_changes("minimal", {f"{key.name}.tYpo": 1}))


def test_an_unknown_key_at_the_top_is_refused():
    with pytest.raises(helm.HelmError, match="tritn"):
        render(with_changes("minimal", {"tritn": {}}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("triton.accelerator", "tpu"),
        ("triton.image.digest", "latest"),
        ("triton.mig.profile", "nvidia.com/mig-1g.10gb"),
        ("triton.replicaCount", "2"),
        ("triton.grpc.maxConnectionAgeSeconds", 0),
        ("repository.source", "http"),
        ("repository.manifestSha256", "abc"),
        ("preproc.settings.queue", 0),
        ("preproc.settings.logLevel", "LOUD"),
        ("preproc.settings.tritonBalancing", "random"),
        ("autoscaling.provider", "cpu"),
        ("pipelines", "spine"),
    ],
)
def test_a_value_that_cannot_be_is_refused(key: str, value: object):
    with pytest.raises(helm.HelmError, match=key.rpartition(".")[2]):
        render(with_changes("minimal", {key: value}))


def test_the_schema_takes_every_ci_file():
    for name in NAMES:
        chart().validate_schema(values_of(name))


def test_every_setting_of_the_service_can_be_set():
    keys = {key.path[-1] for key in KEYS if key.path[:2] == ("preproc", "settings") and len(key.path) == 3}
    expected = {generated.setting_key(name) for name in Settings.model_fields} - {
        generated.setting_key(name) for name in generated.SET_BY_CHART
    }
    assert keys == expected, f"run: {generated.COMMAND}"
    page = (generated.ROOT / "docs" / "settings.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `RADSERVE_(\w+)` \|", page, re.MULTILINE))
    assert documented <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", NAMES)
def test_the_service_takes_every_variable_it_is_given(name: str):
    variables = environment(preproc(rendered(name), "xray-preproc" if name == "everything" else "radserve-preproc"))
    ours = {key: value for key, value in variables.items() if key.startswith("RADSERVE_")}
    not_yet = {"RADSERVE_TRITON_CA_FILE", "RADSERVE_TRITON_CERT_FILE", "RADSERVE_TRITON_KEY_FILE"} - {
        variable(field) for field in Settings.model_fields
    }

    here = {key: str(VALUES) if value.startswith("/etc/radserve/") else value for key, value in ours.items()}
    settings = load({key: value for key, value in here.items() if key not in not_yet})

    assert len(ours) > 20
    assert settings.host == "0.0.0.0"
    assert settings.triton_balancing == "round_robin"


def test_the_defaults_are_those_of_the_service_but_for_the_ones_that_say_why():
    variables = environment(preproc(rendered("minimal")))
    given, own = load(variables), load({})

    differing = {name for name in Settings.model_fields if getattr(given, name) != getattr(own, name)}
    assert differing - generated.SET_BY_CHART == {"triton_balancing", "cpu_threads", "drain_s"}
    assert given.unpacked_limit_bytes == own.unpacked_limit_bytes == 2147483648


def test_a_setting_of_the_values_reaches_the_service_as_it_was_written():
    variables = environment(preproc(rendered("pvc")))

    assert (variables["RADSERVE_QUEUE"], variables["RADSERVE_LOG_LEVEL"]) == ("512", "WARNING")
    assert variables["RADSERVE_UNPACKED_LIMIT_BYTES"] == "4294967296"
    fraction = with_changes("minimal", {"preproc.settings.queueAgeingS": 2.5})
    assert environment(preproc(render(fraction)))["RADSERVE_QUEUE_AGEING_S"] == "2.5"


def test_the_key_of_the_log_hashes_comes_from_a_secret():
    (item,) = [item for item in preproc(rendered("pvc"))["env"] if item["name"] == "RADSERVE_LOG_HASH_KEY"]

    assert item["valueFrom"]["secretKeyRef"] == {"name": "radserve-log-key", "key": "log-hash-key"}


def test_the_reference_of_drift_is_a_file_that_is_mounted():
    container = preproc(rendered("monitoring"))
    pod = rendered("monitoring").pods()["Deployment/radserve-preproc"]

    assert environment(container)["RADSERVE_SCORE_REFERENCE"] == "/etc/radserve/scores/reference.json"
    assert {"name": "scores", "mountPath": "/etc/radserve/scores", "readOnly": True} in container["volumeMounts"]
    assert {"name": "scores", "configMap": {"name": "radserve-scores"}} in pod["volumes"]
    assert "RADSERVE_SCORE_REFERENCE" not in environment(preproc(rendered("minimal")))


def test_the_chart_lists_every_pipeline_and_its_models():
    values, known = yaml.safe_load(TEXT), yaml.safe_load(generated.pipelines_text())

    assert values["pipelines"] == [spec.name for spec in PIPELINES]
    assert known["pipelines"]["spine"]["models"][-1] == "spine"
    assert known["pipelines"]["spine"]["gpuMemoryGiB"] == 12
    assert set(known["ensembles"]) >= {"spine", "spine_classification", "spine_published"}
    assert not set(known["ensembles"]) & {"spine_fusion", "hemorrhage", "head_ct"}


def test_the_schema_and_the_page_have_every_key():
    schema = json.loads((VALUES.parent / "values.schema.json").read_text("utf-8"))
    page = (VALUES.parent / "README.md").read_text("utf-8")

    for key in KEYS:
        place = functools.reduce(lambda found, name: found["properties"][name], key.path, schema)
        assert place["description"] == key.doc
        assert not key.is_open or f"| `{key.name}` |" in page
