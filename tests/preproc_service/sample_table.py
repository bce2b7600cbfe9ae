"""The folder of real sample files in, ``docs/samples.md`` out: what the spine pipeline does with each, and why.

``python -m tests.preproc_service.sample_table`` writes it anew; ``test_samples.py`` fails while it is out of date.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from radserve_contract.pipelines.spine import SPEC
from radserve_contract.spec import PipelineSpec
from radserve_preproc.decode import DecodeLimits, decode
from radserve_preproc.errors import RadserveError
from radserve_preproc.study import RawStudy
from tests.preproc_service.decoding import ANY_FILM

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "samples.md"

# A line per file; the other folders hold slices of one CT series each, and get a line per folder.
FILE_BY_FILE = ("radiographs", "nasty", "ct-single", "ct-one-slice-many-syntaxes", "nifti", "archives")

INTRODUCTION = """\
# What the spine pipeline does with each sample file

Real files, each a case of its own, and whether the pipeline (profile `deployed`) scores them or refuses them, and why.
They are no part of this repository: tests look for them in `../shared/data` beside the checkout, or in the folder that
`RADSERVE_SAMPLES` names. This page is made by `python -m tests.preproc_service.sample_table`, and
`tests/preproc_service/test_samples.py` fails while it is out of date.

*Pixels* tells what the decoders make of a file when modality and body part are left out of account: the rows and
columns of the image, or the code of the refusal.
"""


@dataclass(frozen=True)
class Outcome:
    """``code`` is "scored" or that of the refusal; ``why`` the warnings or the message."""

    code: str
    why: str
    pixels: str


def outcome(path: Path) -> Outcome:
    """What becomes of one file."""
    content = path.read_bytes()
    pixels, _ = _tried(content, ANY_FILM, show=lambda rows, columns: f"{rows} x {columns}")
    return Outcome(*_tried(content, SPEC, show=lambda _rows, _columns: "scored"), pixels)


def _tried(content: bytes, spec: PipelineSpec, *, show) -> tuple[str, str]:
    try:
        image = decode(RawStudy(content), spec, spec.profile(), DecodeLimits())
    except RadserveError as error:
        return error.code, error.message
    return show(*image.pixels.shape), ", ".join(warning.code for warning in image.warnings)


def outcomes(samples: Path) -> dict[str, dict[str, Outcome]]:
    """By folder and file name."""
    folders = sorted(path for path in samples.iterdir() if path.is_dir())
    return {folder.name: {path.name: outcome(path) for path in sorted(folder.iterdir())} for folder in folders}


def page(found: dict[str, dict[str, Outcome]]) -> str:
    """The text of ``docs/samples.md``."""
    parts = [INTRODUCTION]
    for folder in FILE_BY_FILE:
        rows = [
            f"| `{name}` | {_cell(result.code)} | {result.why} | {_cell(result.pixels)} |"
            for name, result in found[folder].items()
        ]
        parts.append(
            "\n".join([f"## {folder}", "", "| file | answer | why | pixels |", "| --- | --- | --- | --- |", *rows])
        )
    rows = [
        f"| `{folder}` | {len(files)} | {_counts(files)} |"
        for folder, files in found.items()
        if folder not in FILE_BY_FILE
    ]
    parts.append("\n".join(["## CT series", "", "| folder | files | answers |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _cell(code: str) -> str:
    return f"`{code}`" if code.isupper() else code


def _counts(files: dict[str, Outcome]) -> str:
    counts = Counter(result.code for result in files.values())
    return ", ".join(f"{count} x {_cell(code)}" for code, count in sorted(counts.items()))


def main(samples: Path) -> None:
    PAGE.write_text(page(outcomes(samples)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
