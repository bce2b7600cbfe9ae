"""Studies that come without HTTP are refused as a request with the same files would be."""

from __future__ import annotations

import pytest

from radserve_contract.pipelines import covid_lung, spine
from radserve_preproc.errors import EmptyFile, NoFile, TooLarge, TooManyFiles
from radserve_preproc.settings import Settings
from radserve_preproc.upload_limits import UploadLimits, study_of, upload_limits

LIMITS = UploadLimits(size_bytes=10, max_files=3)


def test_files_become_a_study_in_their_order() -> None:
    study = study_of([b"12", b"345"], LIMITS)
    assert (study.files, study.size_bytes) == ((b"12", b"345"), 5)


def test_what_fits_exactly_is_taken() -> None:
    assert study_of([b"12345", b"1234", b"1"], LIMITS).size_bytes == 10


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ([], NoFile),
        ([b"1", b""], EmptyFile),
        ([b"1"] * 4, TooManyFiles),
        ([b"123456", b"12345"], TooLarge),
    ],
)
def test_what_is_refused(files: list[bytes], error: type[Exception]) -> None:
    with pytest.raises(error):
        study_of(files, LIMITS)


def test_a_film_is_one_file_and_a_series_many() -> None:
    settings = Settings(upload_limit_bytes=5, series_limit_bytes=7)
    assert upload_limits(spine.SPEC, settings) == UploadLimits(5, 1)
    volumes = covid_lung.SPEC.volumes
    assert volumes is not None
    assert upload_limits(covid_lung.SPEC, settings) == UploadLimits(7, 4 * volumes.max_slices)
