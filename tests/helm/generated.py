"""The sources of the chart in, every file of it that is written by a program out: path and text."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec
from radserve_preproc.settings import Settings
from tests.helm.values_file import CHART, VALUES, Key, flat, keys_of

ROOT = CHART.parents[1]
COMMAND = "python -m tests.helm.write"
BEGIN, END = "    # settings begin", "    # settings end"
SET_BY_CHART = {
    "host",
    "port",
    "pipelines",
    "triton_address",
    "triton_ca_file",
    "triton_cert_file",
    "triton_key_file",
    "log_hash_key",
    "score_reference",
}
"""Settings that templates fill in; every other one has a key in ``preproc.settings``."""
OTHERWISE: dict[str, tuple[Any, str]] = {
    "triton_balancing": ("round_robin", "round_robin here: the Service of Triton is headless"),
    "cpu_threads": (4, "not 0 here: a pod would see the node's cores, not its own"),
    "drain_s": (15, "15 here: endpoints and load balancers need 10 to notice"),
    "triton_batches": (1, "times the service's pods, at least Triton's pods"),
}
"""Defaults that differ in a cluster, or want a word more."""
GIB = 1 << 30


def files() -> Iterator[tuple[Path, str]]:
    """Everything but the plain manifests, which take Helm. values.yaml comes first: others are made from it."""
    values = with_settings(VALUES.read_text("utf-8"))
    yield VALUES, values
    yield CHART / "values.schema.json", schema_text(values)
    yield CHART / "README.md", readme_text(values)
    yield CHART / "files" / "pipelines.yaml", pipelines_text()
    yield from copies()


def copies() -> Iterator[tuple[Path, str]]:
    """Rules and dashboards: Helm reads nothing outside of a chart's folder."""
    for folder, ending in (("rules", "*.yaml"), ("dashboards", "*.json")):
        for path in sorted((ROOT / "monitoring" / folder).glob(ending)):
            yield CHART / "files" / folder / path.name, path.read_text("utf-8")


def stale_copies() -> list[Path]:
    """Copies whose original is gone."""
    wanted = {path for path, _ in copies()}
    return sorted(
        path
        for folder in ("rules", "dashboards")
        for path in (CHART / "files" / folder).glob("*")
        if path not in wanted
    )


def setting_key(name: str) -> str:
    """``request_timeout_s`` as ``requestTimeoutS``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def with_settings(values: str) -> str:
    """values.yaml with a key for each setting of the service that the chart does not set itself."""
    before, _, rest = values.partition(f"{BEGIN}\n")
    _, _, after = rest.partition(f"{END}\n")
    blocks = [_setting(name) for name in Settings.model_fields if name not in SET_BY_CHART]
    return f"{before}{BEGIN}\n{''.join(blocks)}{END}\n{after}"


def _setting(name: str) -> str:
    about = Settings.model_json_schema()
    field = _resolved(about["properties"][name], about.get("$defs", {}))
    default, why = OTHERWISE.get(name, (field.get("default"), ""))
    constraint = {
        key: field[key] for key in ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "pattern") if key in field
    }
    if default is None:
        constraint["type"] = [constraint.get("type", "string"), "null"]
    unit = f" ({field['unit']})" if "unit" in field else ""
    doc = f"{field['description']}{unit}" + (f"; {why}" if why else "")
    shown = json.dumps(int(default) if isinstance(default, float) and default.is_integer() else default)
    comment = textwrap.fill(doc, 120, initial_indent="    # -- ", subsequent_indent="    # ")
    return f"{comment}\n    # @schema {json.dumps(constraint)}\n    {setting_key(name)}: {shown}\n"


def _resolved(field: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """A property with what it refers to filled in; of an optional one, what it is when it is there."""
    for choice in (field, *field.get("allOf", ()), *field.get("anyOf", ())):
        if "$ref" in choice:
            return {**defs[choice["$ref"].rpartition("/")[2]], **field}
        if choice is not field and choice.get("type") != "null":
            return {**choice, **field}
    return field


def schema_text(values: str) -> str:
    """values.schema.json: a key that values.yaml does not have is refused."""
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart radserve",
        "$comment": f"Written from values.yaml by {COMMAND}",
        **_object(keys_of(values)),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _object(keys: tuple[Key, ...]) -> dict[str, Any]:
    properties = {key.path[-1]: {"description": key.doc, **_schema(key)} for key in keys}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _schema(key: Key) -> dict[str, Any]:
    said = {name: value for name, value in key.schema.items() if name != "open"}
    if not key.is_open:
        return _object(key.keys)
    return {**_kind(key.default), **said}


def _kind(default: Any) -> dict[str, Any]:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}
    if isinstance(default, list):
        text = bool(default) and all(isinstance(item, str) for item in default)
        return {"type": "array", "items": {"type": "string"}} if text else {"type": "array"}
    return {"type": kinds[type(default)]} if default is not None else {}


def readme_text(values: str) -> str:
    """README.md of the chart: hand-written above the table of values."""
    rows = [_row(key) for key in flat(keys_of(values)) if key.is_open]
    head = "| key | default | what it is |\n| --- | --- | --- |\n"
    path = CHART / "README.md"
    written = path.read_text("utf-8") if path.exists() else "# radserve\n\n## Values\n"
    above, _, _ = written.partition("## Values\n")
    origin = f"Written from `values.yaml` by `{COMMAND}`; a test keeps the two equal."
    return f"{above}## Values\n\n{origin}\n\n{head}{''.join(rows)}"


def _row(key: Key) -> str:
    default = json.dumps(key.default, ensure_ascii=False).replace("|", "\\|")
    return f"| `{key.name}` | `{default}` | {key.doc.replace('|', chr(92) + '|')} |\n"


def pipelines_text() -> str:
    """What templates know of the pipelines: models of the default profile, GPU memory they may take, all ensembles."""
    ensembles = sorted(
        {model.name for spec in PIPELINES for profile in spec.profiles for model in profile.models if model.composes}
    )
    lines = [
        f"# Written by {COMMAND} from the contract and model_repository.",
        "# models: those of the default profile. gpuMemoryGiB: the sum of their gpu_mem_limit.",
        f"ensembles: [{', '.join(ensembles)}]",
        "pipelines:",
    ]
    for spec in PIPELINES:
        models = ", ".join(model.name for model in spec.profile().models)
        lines.append(f"  {spec.name}: {{gpuMemoryGiB: {_gpu_memory_gib(spec)}, models: [{models}]}}")
    return "\n".join(lines) + "\n"


def _gpu_memory_gib(spec: PipelineSpec) -> int:
    configs = [
        (ROOT / "model_repository" / model.name / "config.pbtxt").read_text("utf-8") for model in spec.profile().models
    ]
    limits = [
        int(number) for text in configs for number in re.findall(r'gpu_mem_limit" value \{ string_value: "(\d+)"', text)
    ]
    return math.ceil(sum(limits) / GIB)
