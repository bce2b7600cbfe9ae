"""The parts of a run to one JSON file, and back from it; which file of a folder has the newest of each part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bench.ct.results import CtResults
from bench.results import Results
from bench.score.results import ScoreResults


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run; a part that was not asked for is None. Runs from before there was a score part have none."""

    spine: Results | None
    ct: CtResults | None
    score: ScoreResults | None = None


_JSON = TypeAdapter(Recorded)


def write(recorded: Recorded, path: Path) -> None:
    """Write ``recorded`` as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_JSON.dump_json(recorded, indent=1) + b"\n")


def read(path: Path) -> Recorded:
    """Read what ``write`` wrote; ValidationError when a field is missing or of another type."""
    return _JSON.validate_json(path.read_bytes())


def newest_spine(folder: Path) -> tuple[Results, str] | None:
    """The latest spine part and the name of its file; names begin with date and time."""
    found = ((read(path).spine, path.name) for path in sorted(folder.glob("*.json"), reverse=True))
    return next(((results, name) for results, name in found if results is not None), None)


def newest_ct(folder: Path) -> tuple[CtResults, str] | None:
    """The latest CT part and the name of its file."""
    found = ((read(path).ct, path.name) for path in sorted(folder.glob("*.json"), reverse=True))
    return next(((results, name) for results, name in found if results is not None), None)


def newest_score(folder: Path) -> tuple[ScoreResults, str] | None:
    """The latest score part and the name of its file."""
    found = ((read(path).score, path.name) for path in sorted(folder.glob("*.json"), reverse=True))
    return next(((results, name) for results, name in found if results is not None), None)
