"""A PromQL expression in, the names of the metrics that it reads out. For names only: promtool checks the grammar."""

from __future__ import annotations

import re

WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right", "inf"}
LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
NAME = re.compile(r"(?<![\w.:])[A-Za-z_:][\w:]*(?!\s*\(|[\w:])")


def metric_names(expr: str) -> set[str]:
    """The metrics that ``expr`` reads; recorded ones too."""
    bare = re.sub(r"#.*", "", expr)
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    return set(NAME.findall(LABELS.sub("", bare))) - WORDS


def windows(expr: str) -> set[str]:
    """The ranges of ``expr``: ``{"5m"}`` for ``rate(x[5m])``."""
    return set(re.findall(r"\[(\w+)[^\]]*\]", expr))
