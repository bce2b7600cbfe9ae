"""The bill of materials: valid by CycloneDX's own schema, complete, and the same for the same materials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bundle import served
from bundle.errors import BundleError
from bundle.images import Image
from bundle.sbom import Materials, bill
from tests.bundle.small import repository, wheel

OURS = "radserve-thing"


@pytest.fixture
def materials(tmp_path: Path) -> Materials:
    networks = served.read(repository(tmp_path / "repository")).networks
    wheels = (
        wheel(tmp_path, OURS, requires=("alpha>=1", 'nvidia-pytriton; extra == "local"', "absent")),
        wheel(tmp_path, "alpha", licence="Apache-2.0 OR BSD-2-Clause", requires=('nvidia-pytriton; extra == "x"',)),
        wheel(tmp_path, "nvidia-pytriton", "0.7.0", "Apache-2.0"),
    )
    digest = f"mirror.example.org/radserve/service@sha256:{'1' * 64}"
    images = (Image("radserve/triton:0.1.0", "build", ("cpu", "gpu")), Image(digest, "pull", ("oci",)))
    return Materials("0.1.0", wheels, frozenset({OURS}), images, networks)


def components(text: bytes) -> dict[str, dict[str, Any]]:
    return {item["bom-ref"]: item for item in json.loads(text)["components"]}


def properties(component: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in component["properties"]}


def test_it_is_valid_cyclonedx_1_6(materials: Materials) -> None:
    text = bill(materials, written_s=1_700_000_000).decode()
    assert json.loads(text)["specVersion"] == "1.6"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace('"purl"', '"pearl"')) is not None


def test_the_same_materials_give_the_same_bill_and_others_another_number(materials: Materials, tmp_path: Path) -> None:
    one, two = (bill(materials, written_s=1_700_000_000) for _ in range(2))
    assert one == two
    fewer = Materials("0.1.0", materials.wheels[:2], materials.own, materials.images, materials.networks)
    other = bill(fewer, written_s=1_700_000_000)
    assert json.loads(one)["serialNumber"] != json.loads(other)["serialNumber"]


def test_each_distribution_has_version_licence_hash_and_address(materials: Materials) -> None:
    found = components(bill(materials, written_s=0))
    alpha = found["python/alpha@1.0"]
    assert alpha["purl"] == "pkg:pypi/alpha@1.0"
    assert alpha["licenses"] == [{"expression": "Apache-2.0 OR BSD-2-Clause"}]
    assert alpha["hashes"] == [{"alg": "SHA-256", "content": materials.wheels[1].sha256}]
    assert found[f"python/{OURS}@1.0"]["purl"] == f"pkg:generic/{OURS}@1.0", "on PyPI it would be somebody else's"


def test_the_server_inside_a_wheel_is_listed_for_its_vulnerabilities(materials: Materials) -> None:
    (server,) = components(bill(materials, written_s=0))["python/nvidia-pytriton@0.7.0"]["components"]
    assert server["purl"] == "pkg:github/triton-inference-server/server@v2.51.0"


def test_each_network_says_what_its_weights_are(materials: Materials) -> None:
    found = components(bill(materials, written_s=0))
    models = {ref: item for ref, item in found.items() if item["type"] == "machine-learning-model"}
    told = {ref: properties(item)["radserve:weights"] for ref, item in models.items()}
    assert told == {"model/net/1/model.onnx": "UNTRAINED", "model/fusion/1/model.onnx": "none"}
    assert all(len(item["hashes"][0]["content"]) == 64 for item in models.values())


def test_images_are_listed_as_not_in_the_bundle(materials: Materials) -> None:
    images = [item for item in components(bill(materials, written_s=0)).values() if item["type"] == "container"]
    assert {(item["name"], item["version"][:7], properties(item)["radserve:inBundle"]) for item in images} == {
        ("radserve/triton", "0.1.0", "false"),
        ("mirror.example.org/radserve/service", "sha256:", "false"),
    }


def test_ours_depend_on_what_their_extras_need_and_others_only_on_what_is_installed(materials: Materials) -> None:
    edges = {
        item["ref"]: item.get("dependsOn", []) for item in json.loads(bill(materials, written_s=0))["dependencies"]
    }
    assert edges[f"python/{OURS}@1.0"] == ["python/alpha@1.0", "python/nvidia-pytriton@0.7.0"]
    assert edges["python/alpha@1.0"] == []


def test_a_licence_that_nobody_understands_stops_the_bundle(tmp_path: Path) -> None:
    odd = Materials("0.1.0", [wheel(tmp_path, "odd", licence="ask the author")], frozenset(), (), ())
    with pytest.raises(BundleError, match="odd: no licence understood"):
        bill(odd, written_s=0)
