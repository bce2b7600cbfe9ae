"""The two Dockerfiles name only what exists, run as nobody in particular, and fetch only what is pinned."""

from __future__ import annotations

import pytest

from radserve_preproc.settings import Settings
from tests.images.context import ROOT, console_scripts, setting_names, travels
from tests.images.dockerfile import copy, parse
from tests.images.dockerfile_rules import (
    dockerfile_problems,
    health_command,
    no_torch_inside,
    pip_checks_hashes,
    unhashed,
)

SERVICE = (ROOT / "preproc_service" / "Dockerfile").read_text(encoding="utf-8")
TRITON = (ROOT / "triton_server" / "Dockerfile").read_text(encoding="utf-8")


def service_problems(text: str) -> list[str]:
    return dockerfile_problems(text, pip_checks_hashes, no_torch_inside)


def test_the_service_image_has_no_problem():
    assert service_problems(SERVICE) == []


def test_the_triton_image_has_no_problem():
    assert dockerfile_problems(TRITON) == []


@pytest.mark.parametrize(
    ("was", "becomes", "problem"),
    [
        ("COPY contract contract", "COPY contracts contract", "there is no such path"),
        ("COPY contract contract", "COPY export export", ".dockerignore keeps it out"),
        ("COPY --from=build", "COPY --from=bulid", "there is no such stage"),
        ("USER 10001:10001", "USER radserve", "wanted uid:gid"),
        ("USER 10001:10001", "USER 0:0", "wanted uid:gid"),
        ("USER 10001:10001", "", "USER missing"),
        ("HEALTHCHECK", "# HEALTHCHECK\nLABEL x=", "HEALTHCHECK missing"),
        ('CMD ["python", "-c"', 'CMD ["wget", "-c"', "nobody made sure is in the image"),
        ("3.12.13-slim-bookworm", "latest", "wanted image:tag with a version"),
        ("ARG PYTHON_DIGEST=", "ARG PYTHON_DIGEST=sha256:00", "never written here"),
        ("--require-hashes -r requirements/service.txt", "-r requirements/service.txt", "fetches without hashes"),
        ("-r requirements/service.txt", "-r requirements/servce.txt", "there is no such file"),
        ("-r requirements/service.txt", "-r requirements/export.txt", "which belongs to export"),
        ("WORKDIR /src", "ADD archive.tar /src", "use COPY"),
        ("RUN python -m venv /build", "RUN apt-get install curl", "fetches something without a hash"),
    ],
)
def test_each_rule_sees_its_fault(was, becomes, problem):
    assert was in SERVICE
    assert any(problem in found for found in service_problems(SERVICE.replace(was, becomes)))


def test_a_health_check_that_is_no_python_is_seen():
    with pytest.raises(SyntaxError):
        service_problems(SERVICE.replace("timeout=4)", "timeout=4"))


def test_a_requirement_without_a_hash_is_seen(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("one==1 \\\n    --hash=sha256:00\ntwo==2\n")
    assert unhashed(requirements) == ["two==2"]


def test_the_service_image_runs_a_command_that_its_package_installs():
    (command,) = parse(SERVICE).final.last("CMD").words
    assert command in console_scripts("preproc_service")


def test_the_service_image_sets_settings_that_exist():
    names = {name for name in parse(SERVICE).final.environment if name.startswith("RADSERVE_")}
    assert names
    assert names <= setting_names(Settings)


def test_the_service_image_listens_checks_and_exposes_one_port():
    image = parse(SERVICE).final
    assert image.environment["RADSERVE_PORT"] == image.last("EXPOSE").value
    assert "os.environ['RADSERVE_PORT'] + '/readyz'" in health_command(image)[-1]


def test_the_triton_image_runs_the_entry_point_it_copied():
    image = parse(TRITON).final
    copied = [path for item in image.all("COPY") for path in copy(item).files]
    assert image.last("ENTRYPOINT").words[-1] in copied
    assert image.last("CMD").words == []


def test_the_docker_ignore_file_keeps_weights_studies_and_environments_out():
    dockerignore = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for path in (".venv/bin/python", ".radserve/repository/spine/1/model.onnx", "demo/film.dcm", ".git/config"):
        assert not travels(path, dockerignore), path
    assert not travels("contract/src/radserve_contract/__pycache__/spec.pyc", dockerignore)
    assert travels("contract/src/radserve_contract/spec.py", dockerignore)
