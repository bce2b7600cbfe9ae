"""A pipeline's spec and the checkout in, a sentence for each place that lacks it out.

``PLACES`` is the table of docs/add-a-pipeline.md. Everything but the contract and the tasks is read as text, so that no
torch is needed and a place can be looked for in any folder.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.tasks.registry import TASKS
from tests.completeness.card_rules import card_problems
from tests.completeness.config_rules import model_problems

OFFERED = {"SPEC", "CHECKPOINTS", "DEVIATIONS", "build"}
"""What a module of the export offers (radserve_export.exportable.PipelineExport)."""


def place_problems(root: Path, spec: PipelineSpec) -> list[str]:
    """Every place that still lacks the pipeline, each with its path; and what a pipeline must not have."""
    return [problem for rule in (*PLACES.values(), service_problems) for problem in rule(root, spec)]


def spec_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """The description itself, under the pipeline's name."""
    path = root / "contract/src/radserve_contract/pipelines" / f"{spec.name}.py"
    missing = {"SPEC"} - _names(path)
    if missing:
        yield f"{path}: is missing, or defines no SPEC"


def listed_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """``PIPELINES`` names the module's SPEC."""
    path = root / "contract/src/radserve_contract/pipelines/__init__.py"
    listed = [ast.unparse(item) for item in _elements(path, "PIPELINES")]
    if f"{spec.name}.SPEC" not in listed:
        yield f"{path}: PIPELINES does not list {spec.name}.SPEC"


def task_problems(root: Path, spec: PipelineSpec, tasks: Mapping[type[Profile], object] = TASKS) -> Iterator[str]:
    """The service knows every profile's kind."""
    path = root / "preproc_service/src/radserve_preproc/tasks/registry.py"
    kinds = dict.fromkeys(type(profile) for profile in spec.profiles)
    yield from (f"{path}: TASKS has nothing for a {kind.__name__}" for kind in kinds if kind not in tasks)
    if len(kinds) > 1:
        yield f"{path}: the profiles of {spec.name} are of several kinds"


def config_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """Each model's config and its variants, once though several profiles share it."""
    models = {model.name: (model, profile.models) for profile in spec.profiles for model in profile.models}
    for model, beside in models.values():
        yield from model_problems(root / "model_repository", model, beside)


def build_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """The export's module: everything that a pipeline offers there, ``build`` as a function."""
    path = root / "export/src/radserve_export/pipelines" / f"{spec.name}.py"
    if not path.is_file():
        yield f"{path}: is missing; it has to define build()"
        return
    missing = OFFERED - _names(path)
    if missing:
        yield f"{path}: defines no {', '.join(f'{name}()' if name == 'build' else name for name in sorted(missing))}"


def export_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """``EXPORTS`` is made from ``_MODULES``, which has the module."""
    path = root / "export/src/radserve_export/pipelines/__init__.py"
    if spec.name not in [ast.unparse(item) for item in _elements(path, "_MODULES")]:
        yield f"{path}: _MODULES, of which EXPORTS is made, does not list {spec.name}"


def demo_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """Something that the demo can show."""
    path = root / "devstack/src/radserve_devstack/demo_studies.py"
    if repr(spec.name) not in [ast.unparse(item) for item in _elements(path, "STUDIES")]:
        yield f"{path}: STUDIES has nothing for {spec.name}"


def readme_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """A row of the README's table that begins with the pipeline's name."""
    path = root / "README.md"
    if not re.search(rf"^\|\s*\[?`?{spec.name}`?[\]|\s(]", _text(path), re.MULTILINE):
        yield f"{path}: no row for {spec.name} in the table of pipelines"


def golden_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """At least one golden study of the default profile with an answer and a tolerance."""
    folder = root / "tests" / "golden" / spec.name
    studies = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]
    mine = [study for study in studies if study.get("profile") == spec.default_profile]
    if not studies:
        yield f"{folder}: holds no golden study (*.json)"
    elif not any(study.get("expected") and study.get("tolerance") for study in mine):
        yield f"{folder}: no study of profile {spec.default_profile} with what is expected and a tolerance"


def chart_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """A line in the chart's list of pipelines; what else the chart knows is written from the contract (tests/helm)."""
    path = root / "helm/radserve/values.yaml"
    listed = re.search(r"^pipelines:\n((?:  - .*\n)*)", _text(path), re.MULTILINE)
    if not listed or f"  - {spec.name}\n" not in listed[1]:
        yield f"{path}: pipelines does not list {spec.name}"


def service_problems(root: Path, spec: PipelineSpec) -> Iterator[str]:
    """No code of the service asks for the pipeline by its name; what it says in comments and examples is its own."""
    for path in sorted((root / "preproc_service/src").rglob("*.py")):
        tree = ast.parse(_text(path))
        examples = {id(node) for call in ast.walk(tree) if _is_example(call) for node in ast.walk(call)}
        yield from (
            f"{path}:{node.lineno}: the service knows {spec.name} by name; a spec or a task has to say it"
            for node in ast.walk(tree)
            if id(node) not in examples and _names_it(node, spec.name)
        )


PLACES: Mapping[str, Callable[[Path, PipelineSpec], Iterator[str]]] = {
    "contract/src/radserve_contract/pipelines/{name}.py": spec_problems,
    "contract/src/radserve_contract/pipelines/__init__.py": listed_problems,
    "preproc_service/src/radserve_preproc/tasks/registry.py": task_problems,
    "model_repository/{name}/config.pbtxt": config_problems,
    "export/src/radserve_export/pipelines/{name}.py": build_problems,
    "export/src/radserve_export/pipelines/__init__.py": export_problems,
    "devstack/src/radserve_devstack/demo_studies.py": demo_problems,
    "README.md": readme_problems,
    "docs/model-cards/{name}.md": card_problems,
    "tests/golden/{name}": golden_problems,
    "helm/radserve/values.yaml": chart_problems,
}
"""By path, with the pipeline's name for ``{name}``: the rule that looks there."""


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def _names(path: Path) -> set[str]:
    """What a module defines or imports at its top; a ``build`` that is no function does not count."""
    found: set[str] = set()
    for node in ast.parse(_text(path)).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {item.asname or item.name for item in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {ast.unparse(target) for target in targets} - {"build"}
    return found


def _elements(path: Path, name: str) -> list[ast.expr]:
    """The elements of the tuple, or the keys of the mapping, that a module calls ``name``; none when there is none."""
    for node in ast.parse(_text(path)).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.Dict):
                return [key for key in value.keys if key is not None]
            return list(value.elts) if isinstance(value, ast.Tuple | ast.List) else []
    return []


def _is_example(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "examples"


def _names_it(node: ast.AST, name: str) -> bool:
    """Whether it is the name as a literal, or an import of the pipeline's module."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        package = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        return any(f"{package}{item.name}".endswith(f"pipelines.{name}") for item in node.names) or (
            package.endswith(f"pipelines.{name}.")
        )
    return isinstance(node, ast.Constant) and node.value == name
