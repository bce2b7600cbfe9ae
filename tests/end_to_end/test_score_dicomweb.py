"""A real DICOMweb archive (Orthanc): what is stored there is listed page by page and read back byte for byte."""

from __future__ import annotations

import io
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE, STDOUT

import pydicom
import pytest
from pydantic import SecretStr
from pydicom.uid import generate_uid

from radserve_client.score.errors import NothingToScore, ServerRefuses
from radserve_client.score.item import Item
from radserve_client.score.read import UnreadableItem, close_connections, read_parts
from radserve_client.score.sources import Source, access_from, open_source, options_for
from radserve_client.settings import ClientSettings
from radserve_devstack.phantoms.ct import ct_phantom
from radserve_devstack.stack import own_environment
from radserve_triton.server import TritonServer
from tests.dicom_files import make_radiograph, to_bytes
from tests.end_to_end.score_runs import LIMIT_S, RADSERVE, rows
from tests.orthanc import PASSWORD, USER, Orthanc, running_orthanc
from tests.service_process import running_service

CT_STUDY, FILM_STUDY, OTHER_STUDY = (generate_uid() for _ in range(3))
PAGE_SIZE = 3


@dataclass(frozen=True)
class Stored:
    """What is in the archive: a study of two CT series and a film, one of four films in one series, one of one film.

    The CT study is one by its UID, but of two patients: Orthanc lists it twice, and counts its series too low.
    """

    archive: Orthanc
    series: dict[str, list[bytes]]
    films: dict[str, bytes]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    series = dict(_series(kind, slices) for kind, slices in (("head", 7), ("chest", 3)))
    together = generate_uid()
    films = dict(
        [
            _film(CT_STUDY, generate_uid()),
            *(_film(FILM_STUDY, together, seed) for seed in range(4)),
            _film(OTHER_STUDY, generate_uid(), StudyDate="20210301"),
        ]
    )
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as archive:
        archive.store([file for files in series.values() for file in files])
        archive.store(films.values())
        yield Stored(archive, series, films)
        close_connections()


def _series(kind: str, slices: int) -> tuple[str, list[bytes]]:
    datasets = [pydicom.dcmread(io.BytesIO(file)) for file in ct_phantom(kind, slices=slices, size=64).dicom_files()]
    for ds in datasets:
        ds.StudyInstanceUID, ds.StudyDate = CT_STUDY, "20200115"
    return str(datasets[0].SeriesInstanceUID), [to_bytes(ds) for ds in datasets]


def _film(study: str, series: str, seed: int = 0, StudyDate: str = "20200115") -> tuple[str, bytes]:
    uid = generate_uid()
    film = make_radiograph(
        StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=uid, StudyDate=StudyDate, InstanceNumber=seed
    )
    ds = pydicom.dcmread(io.BytesIO(film))
    ds.file_meta.MediaStorageSOPInstanceUID = uid
    return str(uid), to_bytes(ds)


def settings(**changed: object) -> ClientSettings:
    given = {"dicomweb_username": USER, "dicomweb_password": SecretStr(PASSWORD), "dicomweb_page_size": PAGE_SIZE}
    return ClientSettings(**(given | changed))  # type: ignore[arg-type]


def opened(stored: Stored, pipeline: str, query: str = "", **changed: object) -> Source:
    options = options_for(pipeline, access=access_from(settings(**changed)))
    return open_source(stored.archive.source + query, options)


def last_uid(item: Item) -> str:
    return item.source.rpartition("/")[2]


def test_ct_series_come_back_byte_for_byte(stored: Stored) -> None:
    source = opened(stored, "head_ct", "?Modality=CT")
    items = list(source.items())
    assert sorted(map(last_uid, items)) == sorted(stored.series)
    for item in items:
        files = stored.series[last_uid(item)]
        assert list(read_parts(item, source.access)) == sorted(files)
        assert item.size_bytes == pytest.approx(sum(map(len, files)), rel=0.5)


def test_films_come_back_byte_for_byte(stored: Stored) -> None:
    source = opened(stored, "spine", "?Modality=CR")
    found = {last_uid(item): read_parts(item, source.access) for item in source.items()}
    assert found == {uid: (film,) for uid, film in stored.films.items()}


def test_the_pages_of_a_listing_add_up_and_every_listing_is_the_same(stored: Stored) -> None:
    small = opened(stored, "spine", dicomweb_page_size=1)
    everything = list(small.items())
    assert len(everything) == 10 + len(stored.films)
    assert sorted(item.source for item in everything) == sorted(item.source for item in opened(stored, "spine").items())
    assert list(small.items()) == everything


def test_a_query_narrows_the_archive(stored: Stored) -> None:
    assert len(list(opened(stored, "spine", "?Modality=CR&StudyDate=20200101-20201231").items())) == 5
    assert len(list(opened(stored, "spine", "?Modality=CR&StudyDate=20210101-").items())) == 1
    assert len(list(opened(stored, "spine", f"/studies/{FILM_STUDY}").items())) == 4
    with pytest.raises(NothingToScore):
        list(opened(stored, "spine", "?Modality=MG").items())


def test_a_row_of_a_manifest_can_be_a_series_of_the_archive(stored: Stored, tmp_path: Path) -> None:
    uid, files = next(iter(stored.series.items()))
    url = f"{stored.archive.url}/dicom-web/studies/{CT_STUDY}/series/{uid}"
    (tmp_path / "m.csv").write_text(f"url,label\n{url},1\n{url}9,0\n")
    access = access_from(settings(dicomweb_url=stored.archive.url))
    source = open_source(str(tmp_path / "m.csv"), options_for("head_ct", access=access))
    there, lost = source.items()
    assert read_parts(there, source.access) == tuple(sorted(files))
    assert there.columns == {"label": 1}
    with pytest.raises(UnreadableItem) as caught:
        read_parts(lost, source.access)
    assert caught.value.code in ("FILE_NOT_FOUND", "ARCHIVE_INCOMPLETE")
    nowhere = replace(source.access, origin="http://127.0.0.1:1")
    with pytest.raises(UnreadableItem) as refused:
        read_parts(there, nowhere)
    assert refused.value.code == "ARCHIVE_UNAUTHORIZED"


def test_the_command_scores_the_films_of_an_archive_and_does_none_of_them_again(
    stored: Stored, mock_triton: TritonServer, tmp_path: Path
) -> None:
    """Credentials come from the environment, and are nowhere in what the run leaves behind."""
    secrets = {"RADSERVE_CLIENT_DICOMWEB_USERNAME": USER, "RADSERVE_CLIENT_DICOMWEB_PASSWORD": PASSWORD}
    options = ["--pipeline", "spine", "--out", str(tmp_path / "out"), "--in-flight-bytes", "64M"]

    def run(url: str) -> str:
        command = [RADSERVE, "score", f"{stored.archive.source}?Modality=CR", *options, "--url", url]
        environ = own_environment() | secrets | {"RADSERVE_CLIENT_DICOMWEB_PAGE_SIZE": str(PAGE_SIZE)}
        ended = subprocess.run(command, env=environ, stdout=PIPE, stderr=STDOUT, timeout=LIMIT_S)
        assert ended.returncode == 0, ended.stdout.decode()
        return ended.stdout.decode()

    with running_service(tmp_path / "service", mock_triton.grpc_address) as service:
        said = run(service.url)
        first = rows(tmp_path / "out")
        said += run(service.url)
    assert {row["sop_instance_uid"] for row in first.values()} == set(stored.films)
    assert {row["status"] for row in first.values()} == {"ok"}
    assert all(source.startswith(stored.archive.url) for source in first)
    assert rows(tmp_path / "out") == first
    written = said.encode() + b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in written
    assert b64encode(f"{USER}:{PASSWORD}".encode()) not in written


def test_wrong_credentials_end_the_listing_with_a_reason(stored: Stored) -> None:
    with pytest.raises(ServerRefuses, match="HTTP 401") as caught:
        list(opened(stored, "spine", dicomweb_password=SecretStr("wrong-one")).items())
    assert "wrong-one" not in caught.value.message
