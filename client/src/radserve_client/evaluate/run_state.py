"""``run.json`` beside the results in; what a reader must know of a run that did not reach its end out."""

from __future__ import annotations

import json
from pathlib import Path

RUN_DOCUMENT = "run.json"
_WHOLE = "finished"


def unfinished(out: Path) -> tuple[str, ...]:
    """A note when the last run into ``out`` has not finished; none when it has, or nothing is known of it.

    Of a run that goes on, or was killed, up to 10,000 scored rows are in its ledger only, and so in no figure.
    """
    try:
        runs = json.loads((out / RUN_DOCUMENT).read_text(encoding="utf-8"))["runs"]
        state = str(runs[-1]["state"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()  # Parquet files may be evaluated without the folder that they were written in
    if state == _WHOLE:
        return ()
    return (
        f"the last run of radserve score into this folder is not finished ({state}): what it has not scored, or not"
        " moved to results/ yet, is in no figure. Run it again to its end",
    )
