"""The newest recorded results in; the generated parts of docs/operations.md and docs/scaling.md, rewritten, out.

A part lies between ``<!-- NAME: written by `python -m bench capacity` -->`` and ``<!-- end of NAME -->``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import capacity_page, scaling_page
from bench.recorded import newest_ct, newest_spine

ROOT = Path(__file__).resolve().parents[1]
RECORDED = ROOT / "bench" / "results"
PAGES = {
    ROOT / "docs" / "operations.md": capacity_page.sections,
    ROOT / "docs" / "scaling.md": scaling_page.sections,
}


class NothingRecorded(LookupError):
    """There are no results of films, or none of CT."""


def rewritten(page: str, parts: Iterable[tuple[str, str]]) -> str:
    """``page`` with each part between its markers; ValueError, naming it, when a part has not one pair of markers."""
    for name, text in parts:
        begin, end = f"<!-- {name}: written by `python -m bench capacity` -->", f"<!-- end of {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
            raise ValueError(f"the page wants `{begin}` and then `{end}`, each once")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}"
    return page


def current(folder: Path = RECORDED) -> dict[Path, str]:
    """Each page as it should be.

    Raises
    ------
    NothingRecorded
        ``folder`` lacks one half of the results.
    """
    films, series = newest_spine(folder), newest_ct(folder)
    if films is None or series is None:
        raise NothingRecorded(f"{folder}: capacity needs recorded results of films and of CT; run `make bench`")
    source = _source(dict.fromkeys((films[1], series[1])))
    return {
        path: rewritten(path.read_text(encoding="utf-8"), sections(films[0], series[0], source))
        for path, sections in PAGES.items()
    }


def write(folder: Path = RECORDED) -> Sequence[Path]:
    """Write the pages; answers which."""
    pages = current(folder)
    for path, text in pages.items():
        path.write_text(text, encoding="utf-8")
    return tuple(pages)


def _source(names: Iterable[str]) -> str:
    return " and ".join(f"[`{name}`](../bench/results/{name})" for name in names)
