"""The chart's folder in, its package and the images that it renders out. Helm itself does both, without a cluster."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import helm_python as helm
import yaml

from bundle.errors import BundleError

NAMESPACE = "radserve"
SUFFIX = "-values.yaml"
OF_A_SITE = ("image", "global")
"""Keys by which the values of ``ci/`` name a mirror or a digest that only an example site has."""


def packed(chart: Path, modified_s: int) -> tuple[str, bytes]:
    """File name and bytes of the packed chart, as ``helm package`` makes it but always the same for the same chart."""
    with TemporaryDirectory(prefix="radserve-chart-") as folder:
        try:
            made = Path(helm.package(chart, destination=folder))
        except helm.HelmError as error:
            raise BundleError(f"{chart} is no chart that Helm packs: {error}") from error
        return made.name, _settled(made.read_bytes(), modified_s)


def images(archive: bytes, ways: Mapping[str, str], repository_image: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Image to the ways of installing that use it, as the packed chart renders them with its own image values.

    Parameters
    ----------
    archive
        The packed chart.
    ways
        Name of a way to the text of its values file. What such a file says of images is left out: it is an example.
    repository_image
        ``repository`` and ``tag`` of the image that holds the served repository, for ways that use one.
    """
    used: dict[str, list[str]] = {}
    with helm.Chart.load_archive(archive) as chart:
        for way, text in sorted(ways.items()):
            values = _of_any_site(helm.values_from_yaml(text))
            if values.get("repository", {}).get("source") == "oci":
                values["repository"]["oci"] = {"image": dict(repository_image)}
            for image in sorted(set(_rendered_images(chart, values))):
                used.setdefault(image, []).append(way)
    return {image: tuple(names) for image, names in sorted(used.items())}


def ways_in(folder: Path) -> dict[str, str]:
    """Name to text of every ``<name>-values.yaml``."""
    return {path.name.removesuffix(SUFFIX): path.read_text("utf-8") for path in sorted(folder.glob(f"*{SUFFIX}"))}


def _of_any_site(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _of_any_site(value) for key, value in values.items() if key not in OF_A_SITE}
    return [_of_any_site(value) for value in values] if isinstance(values, list) else values


def _rendered_images(chart: helm.Chart, values: dict[str, Any]) -> Iterator[str]:
    for path, text in chart.render(values, name="radserve", namespace=NAMESPACE).items():
        if path.endswith(".yaml"):
            yield from _images_in(list(yaml.safe_load_all(text)))


def _images_in(item: Any) -> Iterator[str]:
    if isinstance(item, dict):
        if isinstance(image := item.get("image"), str):
            yield image
        item = list(item.values())
    if isinstance(item, list):
        for value in item:
            yield from _images_in(value)


def _settled(archive: bytes, modified_s: int) -> bytes:
    """The same members in the same order, without the time of packing."""
    settled = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as made,
        gzip.GzipFile(fileobj=settled, mode="wb", mtime=modified_s) as packing,
        tarfile.open(fileobj=packing, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in sorted(made, key=lambda member: member.name != "radserve/Chart.yaml"):  # Helm wants it first
            content = made.extractfile(member)
            fresh = tarfile.TarInfo(member.name)
            fresh.size, fresh.mode, fresh.mtime = member.size, 0o644, modified_s
            tar.addfile(fresh, content)
    return settled.getvalue()
