"""Values in, the objects that real Helm makes of the chart out. Each values file is rendered once for all tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

from tests.helm.values_file import CHART

CI = CHART / "ci"
NAMES = tuple(sorted(path.name.removesuffix("-values.yaml") for path in CI.glob("*-values.yaml")))
RELEASE, NAMESPACE = "radserve", "imaging"
Object = dict[str, Any]


@dataclass(frozen=True)
class Rendered:
    """What Helm made: objects in the order of templates, and the notes."""

    objects: tuple[Object, ...]
    notes: str

    def of(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of that kind and name."""
        (found,) = [item for item in self.of(kind) if item["metadata"]["name"] == name]
        return found

    def pods(self) -> dict[str, Object]:
        """Every pod specification by ``Kind/name`` of what makes the pod."""
        bodies = {f"{item['kind']}/{item['metadata']['name']}": item for item in self.objects}
        found = {name: item["spec"] for name, item in bodies.items() if item["kind"] == "Pod"}
        return found | {
            name: item["spec"]["template"]["spec"] for name, item in bodies.items() if item["kind"] == "Deployment"
        }


@cache
def chart() -> helm.Chart:
    """The chart, loaded once."""
    return helm.Chart.load(CHART)


def values_of(name: str) -> dict[str, Any]:
    """The values of ``ci/<name>-values.yaml``, as Helm itself reads them."""
    return helm.values_from_yaml((CI / f"{name}-values.yaml").read_text("utf-8"))


@cache
def rendered(name: str) -> Rendered:
    """The chart with ``ci/<name>-values.yaml``."""
    return render(values_of(name))


def render(values: dict[str, Any], *, release: str = RELEASE, namespace: str = NAMESPACE) -> Rendered:
    """The chart with ``values``; HelmError as Helm says it."""
    texts = chart().render(values, name=release, namespace=namespace)
    notes = "".join(text for path, text in texts.items() if path.endswith("NOTES.txt"))
    documents = [
        document
        for path, text in sorted(texts.items())
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    return Rendered(tuple(documents), notes)


def with_changes(name: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The values of a ci file with others over them, by dotted key."""
    values = values_of(name)
    for key, value in changes.items():
        *folders, last = key.split(".")
        place = values
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return values


def triton(objects: Rendered, name: str = "radserve-triton") -> Object:
    """Triton's container."""
    return objects.one("Deployment", name)["spec"]["template"]["spec"]["containers"][0]


def preproc(objects: Rendered, name: str = "radserve-preproc") -> Object:
    """The service's container."""
    return objects.one("Deployment", name)["spec"]["template"]["spec"]["containers"][0]


def environment(container: Object) -> dict[str, str]:
    """The variables that have a plain value."""
    return {item["name"]: item["value"] for item in container.get("env", ()) if "value" in item}


def flags(container: Object) -> dict[str, str]:
    """``--name=value`` arguments of a container."""
    return dict(argument.partition("=")[::2] for argument in container["args"])


def text_of(path: str) -> str:
    """A file of the chart."""
    return Path(CHART / path).read_text("utf-8")
