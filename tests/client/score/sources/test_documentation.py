"""docs/score-sources.md says what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from radserve_client.score import read, sources
from radserve_client.score.sources import GroupBy
from radserve_client.score.sources.opening import LISTS, TABLES
from radserve_client.score.sources.qido_keys import keys_by_level

PAGE = (Path(__file__).parents[4] / "docs" / "score-sources.md").read_text()
PAGING_FAULT = "ARCHIVE_PAGING"
"""Ends the run while the archive is listed: no code of an item."""


def test_every_code_is_listed_and_no_other() -> None:
    files = [*Path(sources.__file__).parent.glob("*.py"), Path(read.__file__)]
    texts = {
        node.value
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    codes = {text for text in texts if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", text)} - {PAGING_FAULT}
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE)) == codes
    assert len(codes) > 15


def test_every_key_of_a_query_is_one() -> None:
    listed = PAGE.partition("Keys are ")[2].partition(", or their tags")[0]
    names = re.findall(r"`(\w+)`", listed)
    assert len(names) == 21
    keys_by_level("&".join(f"{name}=1" for name in names))


def test_every_kind_of_file_and_grouping_is_named() -> None:
    for suffix in (*LISTS, *TABLES):
        assert f"{suffix}`" in PAGE
    for group_by in GroupBy:
        assert f"`--group-by {group_by}`" in PAGE
