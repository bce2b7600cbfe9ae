"""What the bundle holds or names in, its bill of materials as CycloneDX 1.6 JSON out; the same for the same bundle."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PathDistribution
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from bundle.errors import BundleError
from bundle.images import Image
from bundle.served import Network
from bundle.wheels import Wheel
from requirements.licences import licence_of

NIL = UUID(int=0)
TRITON_WHEEL, TRITON_VERSION = "nvidia-pytriton", "2.51.0"
"""The wheel that carries a tritonserver, and that server's version, which no metadata of the wheel say."""


@dataclass(frozen=True, slots=True)
class Materials:
    """What the bill lists. ``own`` are the names of the wheels that are ours and on no index."""

    version: str
    wheels: Sequence[Wheel]
    own: frozenset[NormalizedName]
    images: Sequence[Image]
    networks: Sequence[Network]


def bill(materials: Materials, *, written_s: int) -> bytes:
    """The bill of materials; its serial number follows from its content.

    Raises
    ------
    BundleError
        A distribution whose licence its metadata do not say in a way that ``requirements/licences.py`` understands.
    """
    bom = _bom(materials, written_s)
    bom.serial_number = NIL
    bom.serial_number = uuid5(NAMESPACE_URL, JsonV1Dot6(bom).output_as_string())
    return (json.dumps(json.loads(JsonV1Dot6(bom).output_as_string()), indent=1, sort_keys=True) + "\n").encode()


def _bom(materials: Materials, written_s: int) -> Bom:
    whole = Component(
        name="radserve",
        type=ComponentType.APPLICATION,
        version=materials.version,
        bom_ref=f"radserve@{materials.version}",
        description="Bundle for sites without internet. For research use only, not a medical device",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    bom = Bom()
    bom.metadata.timestamp = datetime.fromtimestamp(written_s, UTC)
    bom.metadata.component = whole
    distributions = {canonicalize_name(item.name): item for item in map(_distribution, materials.wheels)}
    packages = {name: _package(item, own=name in materials.own) for name, item in distributions.items()}
    others = [*map(_container, materials.images), *map(_model, materials.networks)]
    for component in (*packages.values(), *others):
        bom.components.add(component)
    for name, item in distributions.items():
        needed = [packages[other] for other in _needs(item, own=name in materials.own) if other in packages]
        bom.register_dependency(packages[name], needed)
    bom.register_dependency(whole, [*(packages[name] for name in sorted(materials.own)), *others])
    return bom


@dataclass(frozen=True, slots=True)
class _Distribution:
    name: str
    version: str
    licence: str
    sha256: str
    requires: tuple[Requirement, ...]


def _distribution(wheel: Wheel) -> _Distribution:
    """What the metadata inside a wheel file say."""
    with zipfile.ZipFile(wheel.path) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if name.split("/")[0].endswith(".dist-info")}
        found = PathDistribution(zipfile.Path(archive, f"{folder}/"))
        try:
            licence = licence_of(found)
        except ValueError as error:
            raise BundleError(str(error)) from error
        requires = tuple(Requirement(text) for text in found.requires or ())
        return _Distribution(found.metadata["Name"], found.version, licence, wheel.sha256, requires)


def _needs(item: _Distribution, *, own: bool) -> Iterable[NormalizedName]:
    """Names that a distribution requires here; of ours with every extra, of others without any."""
    for requirement in item.requires:
        extras = ("", *_extras(requirement)) if own else ("",)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield canonicalize_name(requirement.name)


def _extras(requirement: Requirement) -> list[str]:
    """The quoted words of its marker: one of them is the extra, if any is."""
    return str(requirement.marker).split('"')[1::2]


def _package(item: _Distribution, *, own: bool) -> Component:
    name = canonicalize_name(item.name)
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        version=item.version,
        bom_ref=f"python/{name}@{item.version}",
        # ours are on no index: a scanner that looked them up on PyPI would find somebody else's
        purl=PackageURL("generic" if own else "pypi", name=name, version=item.version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=item.sha256)],
        licenses=[LicenseFactory().make_from_string(item.licence)],
        properties=_properties({"inBundle": "true"}),
        components=[_tritonserver()] if name == TRITON_WHEEL else None,
    )


def _tritonserver() -> Component:
    """The server inside the wheel: no scanner of Python packages would ask for its vulnerabilities."""
    purl = PackageURL("github", "triton-inference-server", "server", f"v{TRITON_VERSION}")
    return Component(
        name="tritonserver",
        type=ComponentType.APPLICATION,
        version=TRITON_VERSION,
        bom_ref=f"tritonserver@{TRITON_VERSION}",
        purl=purl,
        licenses=[LicenseFactory().make_from_string("BSD-3-Clause")],
        properties=_properties({"inBundle": "true"}),
    )


def _container(image: Image) -> Component:
    name, version = image.name_and_version
    return Component(
        name=name,
        type=ComponentType.CONTAINER,
        version=version,
        bom_ref=f"image/{image.comes_by}/{image.reference}/{','.join(image.used_by)}",
        purl=PackageURL("docker", name=name, version=version),
        properties=_properties({"inBundle": "false", "comesBy": image.comes_by, "usedBy": ",".join(image.used_by)}),
    )


def _model(network: Network) -> Component:
    told = {"inBundle": "true", "weights": network.weights} | (
        {"architecture": network.architecture} if network.architecture else {}
    )
    return Component(
        name=network.model,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=network.version,
        bom_ref=f"model/{network.model}/{network.version}/{network.file}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=network.sha256)],
        properties=_properties(told),
    )


def _properties(told: Mapping[str, str]) -> list[Property]:
    return [Property(name=f"radserve:{name}", value=value) for name, value in told.items()]
