"""The repository as a build sees it: which paths ``.dockerignore`` lets through, which scripts and settings exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from pydantic_settings import BaseSettings

ROOT = Path(__file__).resolve().parents[2]


def travels(path: str, dockerignore: str) -> bool:
    """Whether ``path`` (relative, no wildcard) reaches the build; of the patterns that match, the last one decides."""
    included = True
    for pattern in (line.strip() for line in dockerignore.splitlines()):
        if pattern and not pattern.startswith("#") and _matches(path, pattern.removeprefix("!")):
            included = pattern.startswith("!")
    return included


def _matches(path: str, pattern: str) -> bool:
    """Docker's rule: the pattern is held against the path and each of its parents, ``*`` stops at a slash."""
    regex = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    parts = path.split("/")
    return any(re.fullmatch(regex, "/".join(parts[:count])) for count in range(1, len(parts) + 1))


def console_scripts(package: str) -> set[str]:
    """The commands that a workspace package installs."""
    text = (ROOT / package / "pyproject.toml").read_text(encoding="utf-8")
    return set(tomllib.loads(text)["project"].get("scripts", {}))


def setting_names(settings: type[BaseSettings]) -> set[str]:
    """The environment variables a settings class reads."""
    prefix = settings.model_config["env_prefix"]
    return {f"{prefix}{name}".upper() for name in settings.model_fields}
