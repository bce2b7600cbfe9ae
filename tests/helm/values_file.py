"""The chart's values.yaml in, its keys with default, documentation and constraints out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "radserve"
VALUES = CHART / "values.yaml"


@dataclass(frozen=True)
class Key:
    """One key of values.yaml. ``schema`` is what its ``# @schema`` line says, ``keys`` are those inside it."""

    path: tuple[str, ...]
    default: Any
    doc: str
    schema: dict[str, Any]
    keys: tuple[Key, ...] = field(default=())

    @property
    def name(self) -> str:
        """The key as ``--set`` takes it."""
        return ".".join(self.path)

    @property
    def is_open(self) -> bool:
        """Whether what is inside belongs to Kubernetes, or to the site, and not to the chart."""
        return bool(self.schema.get("open")) or not self.keys


def keys_of(text: str) -> tuple[Key, ...]:
    """Every key of a values file, nested as they are there."""
    return tuple(_keys(yaml.compose(text), text.splitlines(), (), open_=False))


def flat(keys: tuple[Key, ...]) -> Iterator[Key]:
    """Every key that wants documentation: not those inside an open one."""
    for key in keys:
        yield key
        if not key.is_open:
            yield from flat(key.keys)


def _keys(node: Any, lines: list[str], path: tuple[str, ...], *, open_: bool) -> Iterator[Key]:
    for name, value in node.value:
        doc, schema = ("", {}) if open_ else _comment(lines, name.start_mark.line)
        inner = (*path, name.value)
        nested: tuple[Key, ...] = ()
        if isinstance(value, yaml.MappingNode) and value.value:
            nested = tuple(_keys(value, lines, inner, open_=open_ or bool(schema.get("open"))))
        yield Key(inner, _value(value), doc, schema, nested)


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    """The documentation and the schema in the comment right above a line."""
    above: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().removeprefix("#").strip())
    schema = [json.loads(text.removeprefix("@schema")) for text in above if text.startswith("@schema")]
    words = [text for text in above if not text.startswith("@schema")]
    start = next((number for number, text in enumerate(words) if text.startswith("-- ")), len(words))
    return " ".join(words[start:]).removeprefix("-- "), schema[0] if schema else {}


def _value(node: Any) -> Any:
    return yaml.safe_load(yaml.serialize(node))
