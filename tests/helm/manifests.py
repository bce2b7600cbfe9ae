"""Values files in, plain manifests for those without Helm out: one YAML file each in deploy/manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.helm.chart import render, values_of
from tests.helm.generated import COMMAND, ROOT

FOLDER = ROOT / "deploy" / "manifests"
NAMES = ("gpu", "cpu")
NAMESPACE = "radserve"
OF_HELM = r"^ *(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*\n"
"""Labels that say that Helm looks after an object."""
FIRST = ("ServiceAccount", "NetworkPolicy", "ConfigMap", "Service")
"""Kinds that others want to find there."""


def files() -> Iterator[tuple[Path, str]]:
    """Path and text of each manifest. Hooks of Helm are left out."""
    for name in NAMES:
        yield FOLDER / f"{name}.yaml", manifest(name)


def manifest(name: str) -> str:
    """The objects of ``ci/<name>-values.yaml`` in the order in which they are best applied."""
    made = render(values_of(name), namespace=NAMESPACE).objects
    objects = [item for item in made if "helm.sh/hook" not in item["metadata"].get("annotations", {})]
    objects.sort(key=lambda item: FIRST.index(item["kind"]) if item["kind"] in FIRST else len(FIRST))
    head = f"# Written by {COMMAND} from helm/radserve with ci/{name}-values.yaml; see README.md here.\n"
    texts = ("---\n" + yaml.safe_dump(item, sort_keys=False, width=120) for item in objects)
    return head + "".join(re.sub(OF_HELM, "", text, flags=re.MULTILINE) for text in texts)
