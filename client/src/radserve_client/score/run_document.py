"""``OUT/run.json``: what ran, with which networks, how much and how fast. Written at the start and the end of a run.

It is made anew each time from what the ledger remembers, so that it tells of every run of the output, the last last.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from radserve_client.score.database import Counts
from radserve_client.score.disk import HIDDEN, write_durably, writing
from radserve_client.score.identity import RunIdentity
from radserve_client.score.ledger import Ledger
from radserve_client.score.results import FOLDER
from radserve_client.score.schema import SCHEMA_VERSION

NAME = "run.json"
PACKAGES = ("radserve-client", "radserve-contract", "radserve-preproc", "pyarrow", "ray")
SECRET = re.compile(r"passw|token|secret|credential|authorization|api_?key", re.IGNORECASE)
USER_IN_URL = re.compile(r"(?<=://)[^/@\s]*@")
HIDDEN_VALUE = "**********"


class RunState(StrEnum):
    """How a run stands: ``cut_off`` was killed, as the run after it found out."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    CUT_OFF = "cut_off"


def begin(ledger: Ledger, command: Mapping[str, Any]) -> None:
    """Write that the run has begun. ``command`` is what was asked for, by name; secrets in it are masked.

    Raises
    ------
    UnwritableOutput
        The disk is full, or the folder must not be written to.
    """
    _close_cut_off(ledger)
    ledger.describe_run(ledger.run.run_id, _of_run(ledger.run, command))
    _write(ledger)


def end(ledger: Ledger, state: RunState, error: str | None = None, figures: Mapping[str, Any] | None = None) -> None:
    """Write how the run ended, and what came of it; ``figures`` are more to say of it. Raises as ``begin``.

    All rows go into parts first, so that what is counted can be read.
    """
    ledger.seal()
    run = _remembered(ledger)[ledger.run.run_id]
    ended = datetime.now(UTC)
    seconds = (ended - datetime.fromisoformat(run["started_at"])).total_seconds()
    run |= {
        "state": state,
        "ended_at": _moment(ended),
        "seconds": round(seconds, 3),
        "models": _models(ledger.run),
        **_counted(ledger.counts(ledger.run.run_id), seconds),
        "error": _masked(error),
        "figures": dict(figures or {}),
    }
    ledger.describe_run(ledger.run.run_id, run)
    _write(ledger)


def _close_cut_off(ledger: Ledger) -> None:
    for run_id, run in _remembered(ledger).items():
        if run["state"] == RunState.RUNNING and run_id != ledger.run.run_id:
            ledger.describe_run(run_id, run | {"state": RunState.CUT_OFF, **_counted(ledger.counts(run_id), None)})


def _remembered(ledger: Ledger) -> dict[str, dict[str, Any]]:
    return {run["run_id"]: run for run in ledger.runs()}


def _of_run(run: RunIdentity, command: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "state": RunState.RUNNING,
        "started_at": _moment(datetime.now(UTC)),
        "ended_at": None,
        "seconds": None,
        "command": _masked(dict(command)),
        "versions": {"python": platform.python_version(), **_versions()},
        "pipeline": run.pipeline,
        "profile": run.profile,
        "via": run.via,
        "options": dict(run.options),
        "identifiers": "hashed" if run.ids.hashed else "as given",
        "models": _models(run),
        **_counted(Counts(), None),
        "error": None,
        "figures": {},
    }


def _models(run: RunIdentity) -> list[dict[str, Any]]:
    return [asdict(model) for model in sorted(run.models, key=lambda model: model.name)]


def _counted(counts: Counts, seconds: float | None) -> dict[str, Any]:
    """Rows that stand as this run wrote them; ``rows_per_s`` over the whole run, its start and end included."""
    rate = round(counts.rows / seconds, 3) if seconds else None
    return {"rows": _rows(counts), "rows_per_s": rate}


def _rows(counts: Counts) -> dict[str, Any]:
    failed = sum(counts.failed.values())
    return {"ok": counts.ok, "failed": failed, "failed_by_code": dict(counts.failed), "transient": counts.transient}


def _write(ledger: Ledger) -> None:
    document = {
        "schema_version": SCHEMA_VERSION,
        "results": FOLDER,
        "rows": _rows(ledger.counts()),
        "runs": ledger.runs(),
    }
    path = ledger.out / NAME
    with writing(path):
        content = json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8", "backslashreplace")
        write_durably(path, content + b"\n", ledger.out / HIDDEN / "run.json.part")


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _masked(value: Any, name: str = "") -> Any:
    """A value for JSON, without passwords: by the name that it has, and in URLs."""
    if isinstance(value, Mapping):
        return {str(key): _masked(item, str(key)) for key, item in value.items()}
    if value is not None and SECRET.search(name):
        return HIDDEN_VALUE
    if isinstance(value, list | tuple):
        return [_masked(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return USER_IN_URL.sub("", str(value))


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
