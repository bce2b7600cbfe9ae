"""Everything that can go wrong in an evaluation, each with a stable code (docs/evaluation.md).

::

    ClientError
    └── EvaluateError
        ├── UnreadableResults    RESULTS_UNREADABLE     no such dataset, a column is missing, another schema version
        ├── MixedResults         RESULTS_MIXED          several pipelines, profiles or models: one is to be chosen
        ├── DisagreeingResults   RESULTS_DISAGREE       rows contradict each other, themselves, or lack a score
        ├── DuplicateResults     RESULTS_DUPLICATE      one image or series stands in several rows
        ├── UnreadableLabels     LABELS_UNREADABLE      a column or value is missing, or no number
        ├── UnknownFormat        LABELS_UNKNOWN_FORMAT  the header is of no known format, or of several
        ├── WrongFormat          LABELS_WRONG_FORMAT    these labels say nothing about this pipeline
        ├── DuplicateLabels      LABELS_DUPLICATE       one thing is labelled twice
        ├── NothingMatches       LABELS_MATCH_NOTHING   no row is of a labelled thing, or it is not clear which
        ├── MaskGeometry         MASK_GEOMETRY          a mask and its reference are not of one grid
        └── UnwritableReport     EVALUATE_OUTPUT        the folder of the report cannot be written
"""

from __future__ import annotations

from collections.abc import Iterable

from radserve_client.errors import ClientError

_EXAMPLES = 3


class EvaluateError(ClientError):
    """Root of the tree. ``is_usage``: another option would help, so the exit code is 2."""

    code = "EVALUATE_ERROR"
    is_usage = False


class UnreadableResults(EvaluateError):
    """The dataset is not there, or not one that this version reads."""

    code = "RESULTS_UNREADABLE"


class MixedResults(EvaluateError):
    """Figures over several pipelines, profiles or models would be of none of them."""

    code = "RESULTS_MIXED"
    is_usage = True


class DisagreeingResults(EvaluateError):
    """Rows that cannot be evaluated together, such as of different thresholds."""

    code = "RESULTS_DISAGREE"


class DuplicateResults(EvaluateError):
    """One thing would be counted twice."""

    code = "RESULTS_DUPLICATE"


class UnreadableLabels(EvaluateError):
    """The label file cannot be read, or lacks something."""

    code = "LABELS_UNREADABLE"


class UnknownFormat(EvaluateError):
    """Which format the label file has is not clear."""

    code = "LABELS_UNKNOWN_FORMAT"
    is_usage = True


class WrongFormat(EvaluateError):
    """The format is known, but has nothing to say about the pipeline."""

    code = "LABELS_WRONG_FORMAT"
    is_usage = True


class DuplicateLabels(EvaluateError):
    """One thing has two labels."""

    code = "LABELS_DUPLICATE"


class NothingMatches(EvaluateError):
    """Rows and labels do not find each other."""

    code = "LABELS_MATCH_NOTHING"
    is_usage = True


class MaskGeometry(EvaluateError):
    """Two masks are not of one grid, and nothing is resampled here."""

    code = "MASK_GEOMETRY"


class UnwritableReport(EvaluateError):
    """Nothing was written, or not all."""

    code = "EVALUATE_OUTPUT"


def examples(texts: Iterable[object], *, total: int | None = None) -> str:
    """A few of ``texts`` for a message: ``a, b, c, ...``; the dots where there are more."""
    shown: list[str] = []
    for text in texts:
        if len(shown) == _EXAMPLES:
            return ", ".join((*shown, "..."))
        shown.append(str(text))
    more = total is not None and total > len(shown)
    return ", ".join((*shown, "...") if more else shown)
