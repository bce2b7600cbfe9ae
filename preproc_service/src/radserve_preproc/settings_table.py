"""``Settings`` in, texts about it out: the table of ``docs/settings.md`` and the masked print of what is set."""

from __future__ import annotations

import json
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from radserve_preproc.settings import Settings, variable


def as_markdown() -> str:
    """One table row per setting: variable, default, unit, meaning."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| variable | default | unit | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def as_lines(settings: Settings) -> str:
    """``NAME=value`` per setting, as it is in force; secrets as ``**********``."""
    return "\n".join(f"{variable(name)}={_text(getattr(settings, name))}" for name in Settings.model_fields)


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default is None else f"`{_text(field.default)}`"
    unit = _extra(field).get("unit", "")
    return f"| `{variable(name)}` | {default} | {unit} | {field.description} |"


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | SecretStr):
        return str(value)
    return json.dumps(value)
