"""docs/errors.md has every code, with status and meaning; the tree's drawing has every class's code."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from radserve_contract import volumes
from radserve_contract.pipelines import PIPELINES
from radserve_contract.volumes import VolumeFault
from radserve_preproc import errors, notices
from radserve_preproc.error_docs import all_errors, meaning
from radserve_preproc.errors import RadserveError
from radserve_preproc.notices import NoticeCode

Row = tuple[str, ...]


def rows_of(page: str, heading: str) -> dict[str, Row]:
    """The table under a heading: first column to the others."""
    section = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.fixture(scope="module")
def page(project_root: Path) -> str:
    return (project_root / "docs" / "errors.md").read_text()


def test_codes_are_unique() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes)) > 30


def test_every_class_has_a_code_of_its_own() -> None:
    assert [error.__name__ for error in all_errors() if "code" not in vars(error)] == ["InternalError"]


def test_every_class_in_the_module_is_in_the_tree() -> None:
    classes = {value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, RadserveError)}
    assert classes - {RadserveError} == set(all_errors())


def test_the_page_lists_exactly_the_codes_with_their_status_and_meaning(page: str) -> None:
    listed = rows_of(page, "Errors")
    assert set(listed) == {error.code for error in all_errors()}
    for error in all_errors():
        status, said, advice = listed[error.code]
        assert status == str(error.http_status), error.code
        assert said == meaning(error), error.code
        assert len(advice) > 10, f"{error.code}: say what to do"


def test_the_page_lists_exactly_the_notices_with_their_meaning(page: str) -> None:
    listed = rows_of(page, "Warnings in an answer")
    assert listed == {code: (said,) for code, said in notice_docs().items()}
    assert set(listed) == {code.value for code in NoticeCode}


def notice_docs() -> dict[str, str]:
    """Code to its meaning."""
    return member_docs(notices, "NoticeCode")


def member_docs(module: ModuleType, name: str) -> dict[str, str]:
    """Value to the string under it, of an enum's members: Python keeps no docstrings of these."""
    tree = ast.parse(inspect.getsource(module))
    (definition,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
    body = definition.body[1:]
    pairs = zip(body[::2], body[1::2], strict=True)
    return {
        ast.literal_eval(member.value): ast.literal_eval(text.value)
        for member, text in pairs
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr)
    }


def test_the_drawing_names_every_family_of_the_tree_and_every_code_outside_unfit() -> None:
    drawing = inspect.getdoc(errors) or ""
    for error in RadserveError.__subclasses__():
        assert f"{error.__name__} ({error.http_status})" in drawing
    for error in all_errors():
        assert issubclass(error, errors.Unfit) or re.search(rf"\b{error.code}\b", drawing), error


def test_the_page_lists_every_fault_of_a_ct_study_with_what_each_pipeline_does(page: str) -> None:
    begin, end = "<!-- faults -->\n", "<!-- end of faults -->"
    assert page.split(begin)[1].split(end)[0] == fault_table(), "put fault_table() between the marks of docs/errors.md"


def fault_table() -> str:
    """A row per fault: code, meaning, and the handling of each CT pipeline."""
    ct = {spec.name: spec.volumes for spec in PIPELINES if spec.volumes is not None}
    head = ["| code | meaning |" + "".join(f" {name} |" for name in ct), "| --- | --- |" + " --- |" * len(ct)]
    docs = member_docs(volumes, "VolumeFault")
    rows = [
        f"| `{fault.value}` | {docs[fault.value]} |" + "".join(f" {rule.handle(fault).value} |" for rule in ct.values())
        for fault in VolumeFault
    ]
    return "\n".join([*head, *rows, ""])
