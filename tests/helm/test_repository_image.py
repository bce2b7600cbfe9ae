"""The Dockerfile of a served repository as an image: pinned, no root, and what the chart copies is there."""

from __future__ import annotations

import pytest

from tests.helm.chart import rendered, text_of
from tests.images.dockerfile import copy, parse
from tests.images.dockerfile_rules import base_is_pinned, nothing_is_added, user_is_a_number

TEXT = text_of("repository-image/Dockerfile")
RULES = (base_is_pinned, nothing_is_added, user_is_a_number)


def problems(text: str) -> list[str]:
    return [problem for rule in RULES for problem in rule(parse(text))]


def test_the_image_has_no_problem():
    assert problems(TEXT) == []


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ("BASE_TAG=1.37.0", "BASE_TAG=latest", "wanted image:tag"),
        ("BASE_DIGEST=\n", "BASE_DIGEST=sha256:00\n", "never written here"),
        ("USER 1000:1000", "USER root", "wanted uid:gid"),
        ("COPY --chmod=0755", "ADD", "use COPY"),
    ],
)
def test_each_rule_sees_its_fault(was: str, becomes: str, problem: str):
    assert was in TEXT
    assert any(problem in found for found in problems(TEXT.replace(was, becomes)))


def test_the_chart_copies_from_where_the_image_has_it():
    (made,) = [copy(item) for item in parse(TEXT).final.all("COPY")]
    pod = rendered("oci").pods()["Deployment/radserve-triton"]

    assert (made.sources, made.destination) == ((".",), "/repository")
    assert pod["initContainers"][0]["command"][-1].endswith("cp -R /repository/. /models/")
