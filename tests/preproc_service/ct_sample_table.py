"""The folder of real sample files in, ``docs/samples-ct.md`` out: what each CT pipeline does with each study, and why.

``python -m tests.preproc_service.ct_sample_table`` writes it anew; ``test_ct_samples.py`` fails while it is old.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec
from radserve_preproc.decode import DecodeLimits, decode
from radserve_preproc.errors import RadserveError
from radserve_preproc.study import DecodedImage, RawStudy

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "samples-ct.md"
SPECS = tuple(spec for spec in PIPELINES if spec.volumes is not None)

# Folders that are one study; in the others every file is one.
SERIES = "ct-head-* ct-upper-abdomen-* ct-chest-* ct-missing-* ct-oblique-* ct-4d-* ct-duplicate-*".split()
FILE_BY_FILE = ("ct-single", "ct-one-slice-many-syntaxes", "nifti", "archives", "nasty")

INTRODUCTION = """\
# What the CT pipelines do with each sample study

Real files, and whether a pipeline reads them (then: slices x rows x columns, and the warnings) or refuses them (then:
the code and why). They are no part of this repository: tests look for them in `../shared/data` beside the checkout, or
in the folder that `RADSERVE_SAMPLES` names. This page is made by `python -m tests.preproc_service.ct_sample_table`,
and `tests/preproc_service/test_ct_samples.py` fails while it is old. What a code means: [errors.md](errors.md).
"""


@dataclass(frozen=True)
class Outcome:
    """``answer`` is the size of the volume or the code of the refusal; ``why`` the warnings or the message."""

    answer: str
    why: str


def studies(samples: Path) -> Iterator[tuple[str, RawStudy]]:
    """Name and content of each study, in a fixed order."""
    for pattern in SERIES:
        for folder in sorted(samples.glob(pattern)):
            files = [path.read_bytes() for path in sorted(folder.iterdir())]
            yield f"{folder.name}/", RawStudy(files[0], tuple(files[1:]))
    for name in FILE_BY_FILE:
        for path in sorted((samples / name).iterdir()):
            yield f"{name}/{path.name}", RawStudy(path.read_bytes())


def outcome(study: RawStudy, spec: PipelineSpec) -> Outcome:
    """What the pipeline makes of the study."""
    try:
        image = decode(study, spec, spec.profile(), DecodeLimits(threads_per_image=2))
    except RadserveError as error:
        return Outcome(f"`{error.code}`", error.message)
    return Outcome(_size(image), ", ".join(f"`{code}`" for code in dict.fromkeys(w.code for w in image.warnings)))


def _size(image: DecodedImage) -> str:
    return " x ".join(map(str, image.pixels.shape))


def page(samples: Path) -> str:
    """The text of ``docs/samples-ct.md``."""
    found = [(name, [outcome(study, spec) for spec in SPECS]) for name, study in studies(samples)]
    overview = [
        "| study | " + " | ".join(spec.name for spec in SPECS) + " |",
        "| --- |" + " --- |" * len(SPECS),
        *(f"| `{name}` | " + " | ".join(item.answer for item in row) + " |" for name, row in found),
    ]
    reasons = [f"### `{name}`\n\n{_reasons(row)}" for name, row in found if any(item.why for item in row)]
    return "\n\n".join([INTRODUCTION.strip(), "\n".join(overview), "## Why", *reasons]) + "\n"


def _reasons(row: list[Outcome]) -> str:
    """A line per different reason, with the pipelines it is of."""
    whose: dict[str, list[str]] = {}
    for spec, item in zip(SPECS, row, strict=True):
        if item.why:
            whose.setdefault(item.why.replace(spec.name, "the pipeline"), []).append(spec.name)
    return "\n".join(f"- {', '.join(names)}: {why}" for why, names in whose.items())


def main(samples: Path) -> None:
    PAGE.write_text(page(samples), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data")
