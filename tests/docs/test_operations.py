"""What docs/operations.md, docs/security.md and CHANGELOG.md name exists, with the values they give."""

from __future__ import annotations

import re
import tomllib

import pytest

from radserve_preproc import errors
from radserve_preproc.metrics import Metrics
from radserve_preproc.settings import Settings, variable
from tests.images.context import ROOT
from tests.images.dockerfile import parse

OPERATIONS, SECURITY = ((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("operations.md", "security.md"))
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE_VARIABLES = dict(re.findall(r"\$\{(RADSERVE_\w+):-([^}]*)\}", COMPOSE))


def dockerfile_arguments(name: str) -> dict[str, str]:
    return parse((ROOT / name / "Dockerfile").read_text(encoding="utf-8")).arguments


def unknown_variables(text: str) -> set[str]:
    """RADSERVE_ names in a text that nothing reads."""
    dockerfiles = "".join((ROOT / name / "Dockerfile").read_text() for name in ("triton_server", "preproc_service"))
    known = {variable(field) for field in Settings.model_fields} | set(COMPOSE_VARIABLES)
    known |= set(re.findall(r"^ARG (RADSERVE_\w+)", dockerfiles, re.MULTILINE))
    return set(re.findall(r"RADSERVE_[A-Z_]+[A-Z]", text)) - known


def unknown_metrics(text: str) -> set[str]:
    """radserve_ metrics in a text that the service does not have."""
    families = {family.name for family in Metrics().registry.collect()}
    named = {name.removesuffix("_total") for name in re.findall(r"`(radserve_\w+)", text)}
    return named - families


def unknown_codes(text: str) -> set[str]:
    """Codes in a text that no error of the service has."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    known = {value.code for value in classes if issubclass(value, errors.RadserveError)}
    return set(re.findall(r'code="(\w+)"', text)) - known


@pytest.mark.parametrize("page", [OPERATIONS, SECURITY])
def test_every_variable_metric_and_code_exists(page):
    assert unknown_variables(page) == set()
    assert unknown_metrics(page) == set()
    assert unknown_codes(page) == set()


def test_names_that_do_not_exist_are_seen():
    assert unknown_variables("`RADSERVE_QUEUE` and `RADSERVE_QUEUES`") == {"RADSERVE_QUEUES"}
    assert unknown_metrics('`radserve_failures_total{code="BUSY"}` and `radserve_failed_total`') == {"radserve_failed"}
    assert unknown_codes('{code="BUSY"} {code="BUSIER"}') == {"BUSIER"}


def test_every_compose_variable_is_explained_with_its_default():
    assert COMPOSE_VARIABLES
    for name, default in COMPOSE_VARIABLES.items():
        assert f"| `{name}` | `{default}` |" in OPERATIONS


def test_the_images_named_are_those_the_dockerfiles_build_on():
    triton, service = dockerfile_arguments("triton_server"), dockerfile_arguments("preproc_service")
    named = set(re.findall(r"(?:nvcr\.io/nvidia/tritonserver|python):[\w.-]+", OPERATIONS))
    assert named == {
        f"{triton['TRITON_IMAGE']}:{triton['TRITON_TAG']}",
        f"{service['PYTHON_IMAGE']}:{service['PYTHON_TAG']}",
    }


def test_the_changelog_names_the_tritons_that_are_used():
    unreleased = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("## [")[1]
    wheel = re.match(r"nvidia-pytriton==([\d.]+)", (ROOT / "requirements" / "triton-server.txt").read_text())[1]
    assert f"nvidia-pytriton {wheel}" in unreleased
    assert f"`tritonserver:{dockerfile_arguments('triton_server')['TRITON_TAG']}`" in unreleased


def test_images_compose_file_and_packages_have_one_version():
    versions = {COMPOSE_VARIABLES["RADSERVE_TAG"]}
    for name in ("triton_server", "preproc_service"):
        text = (ROOT / name / "Dockerfile").read_text(encoding="utf-8")
        versions |= set(re.findall(r"^ARG RADSERVE_VERSION=(\S+)$", text, re.MULTILINE))
    for package in ROOT.glob("*/pyproject.toml"):
        versions.add(tomllib.loads(package.read_text(encoding="utf-8"))["project"]["version"])
    assert len(versions) == 1, versions


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page):
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
