"""A checkout and a served repository in, everything that a bundle holds out: the table of contents."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import NormalizedName, canonicalize_name

from bundle import chart, images, install_page, sbom, served
from bundle.archive import Entry, files_under
from bundle.pins import pins
from bundle.wheels import Wheel, built, fetched

MEMBERS = ("contract", "preproc_service", "triton_server", "client", "devstack")
"""Ours that run at a site. The export is not among them: it brings torch, and nothing is exported there."""
REQUIREMENTS = ("embedded.txt", "client-extras.txt", "triton.txt", "triton-server.txt")
REPOSITORY_IMAGE = "radserve/repository"
REPOSITORY_DOCKERFILE = "helm/radserve/repository-image/Dockerfile"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a bundle is made of, and the time (seconds since 1970) that everything in it gets."""

    root: Path
    repository: Path
    cache: Path
    """Folder that keeps downloaded wheels."""
    scratch: Path
    """Folder for what is built; it has to last until the archive is written."""
    modified_s: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """The folder name inside the archive, which is the archive's name too, and what is in it."""

    name: str
    entries: tuple[Entry, ...]


def collect(plan: Plan) -> Bundle:
    """Gather everything.

    Raises
    ------
    BundleError
        Something is missing, differs from its checksum, or could not be downloaded.
    """
    repository = served.read(plan.repository)
    third_party = fetched(pins(plan.root / "requirements" / name for name in REQUIREMENTS), plan.cache)
    own = built([plan.root / member for member in MEMBERS], plan.scratch, modified_s=plan.modified_s)
    chart_name, chart_bytes = chart.packed(plan.root / "helm" / "radserve", plan.modified_s)
    ways = chart.ways_in(plan.root / "helm" / "radserve" / "ci")
    tag = {"repository": REPOSITORY_IMAGE, "tag": repository.release}
    listed = images.listed(chart.images(chart_bytes, ways, tag), plan.root)
    version = version_of(plan.root)
    name = f"radserve-{version}-cp{PYTHON.replace('.', '')}-linux_x86_64-{repository.release}"
    name += "" if repository.trained else "-UNTRAINED"
    materials = sbom.Materials(version, (*third_party, *own), names_of(own), listed, repository.networks)
    facts = _facts(name, version, repository, chart_name, plan.root) | {"GLIBC": _glibc(third_party)}
    made = {
        "INSTALL.md": install_page.filled(facts),
        "images.txt": images.page(listed),
        "requirements/radserve.txt": requirements_of(own),
    }
    return Bundle(
        name,
        (
            *(Entry(path, text.encode()) for path, text in made.items()),
            Entry("sbom.cdx.json", sbom.bill(materials, written_s=plan.modified_s)),
            Entry(f"chart/{chart_name}", chart_bytes),
            *(Entry(f"wheels/{wheel.path.name}", wheel.path) for wheel in (*third_party, *own)),
            *(Entry(f"requirements/{file}", plan.root / "requirements" / file) for file in REQUIREMENTS),
            *repository.entries(),
            *_of_checkout(plan.root),
        ),
    )


def version_of(root: Path) -> str:
    """The version of the release: the one that every member and the chart's appVersion have."""
    return str(tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def names_of(wheels: Sequence[Wheel]) -> frozenset[NormalizedName]:
    """Names of our own wheels, normalised."""
    return frozenset(canonicalize_name(wheel.path.name.split("-")[0]) for wheel in wheels)


def requirements_of(wheels: Sequence[Wheel]) -> str:
    """Our own wheels as a requirement file with hashes."""
    text = "# radserve's own wheels of this bundle, without what they need: embedded.txt has that\n"
    for wheel in wheels:
        name, version, *_ = wheel.path.name.split("-")
        text += f"{canonicalize_name(name)}=={version} \\\n    --hash=sha256:{wheel.sha256}\n"
    return text


def _of_checkout(root: Path) -> list[Entry]:
    """What goes in as it is."""
    return [
        Entry("LICENSE", root / "LICENSE"),
        Entry("chart/repository-image/Dockerfile", root / REPOSITORY_DOCKERFILE),
        *files_under(root / "helm" / "radserve" / "ci", "chart/ways", f"*{chart.SUFFIX}"),
        *files_under(root / "deploy" / "manifests", "manifests"),
        *files_under(
            root / "monitoring", "monitoring", "rules/*.yaml", "dashboards/*.json", "prometheus.yml", "README.md"
        ),
        *files_under(root / "docs", "docs"),
    ]


def _facts(name: str, version: str, repository: served.Served, chart_name: str, root: Path) -> dict[str, str]:
    demo = ".venv/bin/radserve-demo --repository repository --pipeline {0} --output proof/{0}"
    return {
        "NAME": name,
        "VERSION": version,
        "WEIGHTS": "" if repository.trained else install_page.UNTRAINED,
        "PIPELINES": ", ".join(repository.pipelines),
        "MANIFEST": repository.manifest_sha256,
        "RELEASE": repository.release,
        "CHART": chart_name,
        "PYTHON": PYTHON,
        "DEMO": "\n".join(demo.format(pipeline) for pipeline in repository.pipelines),
        "REPOSITORY_BASE": images.base(root / REPOSITORY_DOCKERFILE),
        "REPOSITORY_IMAGE": f"{REPOSITORY_IMAGE}:{repository.release}",
    }


def _glibc(wheels: Sequence[Wheel]) -> str:
    return install_page.glibc(wheel.path.name for wheel in wheels if re.search("manylinux", wheel.path.name))
