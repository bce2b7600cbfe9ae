"""A pipeline's spec and the checkout in, a sentence for each place outside the model repository that lacks it out."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

from radserve_contract.spec import PipelineSpec


def place_problems(root: Path, spec: PipelineSpec) -> list[str]:
    """Every place that still lacks the pipeline, each with its path."""
    rules = (build_problems, readme_problems, card_problems, golden_problems)
    return [problem for rule in rules for problem in rule(root, spec)]


def build_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """``build()`` of the export side, read as text so that no torch is needed."""
    path = root / "export" / "src" / "radserve_export" / "pipelines" / f"{spec.name}.py"
    if not path.is_file():
        yield f"{path}: is missing; it has to define build()"
        return
    functions = {node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
    if "build" not in functions:
        yield f"{path}: defines no build()"


def readme_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """A row of the README's table that begins with the pipeline's name."""
    path = root / "README.md"
    text = path.read_text("utf-8") if path.is_file() else ""
    if not re.search(rf"^\|\s*\[?`?{spec.name}`?[\]|\s(]", text, re.MULTILINE):
        yield f"{path}: no row for {spec.name} in the table of pipelines"


def card_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """The model card: there, and naming every profile."""
    path = root / "docs" / "model-cards" / f"{spec.name}.md"
    if not path.is_file():
        yield f"{path}: is missing"
        return
    text = path.read_text("utf-8")
    yield from (f"{path}: does not mention profile {item.name}" for item in spec.profiles if item.name not in text)


def golden_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """At least one golden study of the default profile with a score and a tolerance."""
    folder = root / "tests" / "golden" / spec.name
    studies = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    if not studies:
        yield f"{folder}: holds no golden study (*.json)"
    elif not any(study.get("profile") == spec.default_profile and study.get("tolerance") for study in studies):
        yield f"{folder}: no study of profile {spec.default_profile} with a tolerance"
