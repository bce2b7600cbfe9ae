"""docs/samples-ct.md says of every real CT study what each pipeline does with it, and why."""

from __future__ import annotations

import warnings
from pathlib import Path

from tests.preproc_service.ct_sample_table import PAGE, page


def test_the_page_says_what_becomes_of_every_ct_sample(sample_data: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no library may talk past the service's log
        made = page(sample_data)
    assert made == PAGE.read_text("utf-8"), "run: python -m tests.preproc_service.ct_sample_table"
