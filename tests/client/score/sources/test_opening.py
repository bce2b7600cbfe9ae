"""What a user types in, a source or a clear refusal out."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from radserve_client.score.errors import NothingToScore, WrongUse
from radserve_client.score.sources import Access, GroupBy, SourceOptions, access_from, open_source, options_for
from radserve_client.settings import ClientSettings
from tests.client.score.sources.trees import plant, shown

FILMS = SourceOptions()


def test_radiographs_are_read_file_by_file_and_ct_folder_by_folder() -> None:
    assert options_for("spine").group_by is GroupBy.FILE
    for ct in ("head_ct", "abdominal_trauma", "hemorrhage", "covid_lung"):
        assert options_for(ct).group_by is GroupBy.FOLDER
    assert options_for("hemorrhage", group_by=GroupBy.FILE).group_by is GroupBy.FILE


@pytest.mark.parametrize("group_by", [GroupBy.FOLDER, GroupBy.SERIES])
def test_films_are_not_made_into_series(group_by: GroupBy) -> None:
    with pytest.raises(WrongUse, match="spine reads single films"):
        options_for("spine", group_by=group_by)


def test_an_unknown_pipeline_is_named_with_those_there_are() -> None:
    with pytest.raises(WrongUse, match="no pipeline spline; there are spine"):
        options_for("spline")


def test_one_file_is_a_source(tmp_path: Path) -> None:
    plant(tmp_path, "a.dcm")
    source = open_source(str(tmp_path / "a.dcm"), FILMS)
    assert list(shown(source.items(), tmp_path)) == ["a.dcm"]
    assert source.description == {"kind": "file", "text": str(tmp_path / "a.dcm")}
    assert source.manifest_schema is None


def test_a_source_can_be_listed_again(tmp_path: Path) -> None:
    source = open_source(str(plant(tmp_path, "a.dcm", "b.dcm")), FILMS)
    assert list(source.items()) == list(source.items()) != []


def test_an_empty_folder_is_an_empty_source(tmp_path: Path) -> None:
    plant(tmp_path, ".hidden")
    with pytest.raises(NothingToScore, match="nothing to score"):
        list(open_source(str(tmp_path), FILMS).items())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("/no/such/folder", "/no/such/folder cannot be read: No such file or directory"),
        ("/no/such/manifest.csv", "cannot be read"),
        ("https://pacs.example/dicom-web", r"dicomweb\+https://"),
        ("dicomweb+ftp://pacs.example", r"dicomweb\+https://HOST/PATH"),
        ("dicomweb+https://", r"dicomweb\+https://HOST/PATH"),
        ("dicomweb+https://jane:pw@pacs.example/dicom-web", "RADSERVE_CLIENT_DICOMWEB_PASSWORD"),
        ("dicomweb+https://pacs.example/dicom-web?Modalty=CT", "Modalty is no key.*Modality"),
        ("dicomweb+https://pacs.example/dicom-web?limit=3", "limit is no key"),
        ("dicomweb+https://pacs.example/dicom-web?Modality=CT&00080060=MR", "Modality stands twice"),
    ],
)
def test_what_cannot_be_meant_so_is_refused(text: str, says: str) -> None:
    with pytest.raises(WrongUse, match=says) as caught:
        open_source(text, FILMS)
    assert "pw@" not in caught.value.message


@pytest.mark.parametrize("text", ["", "a.dcm", "films.txt", "*.dcm", "dicomweb+https://pacs.example/rs"])
def test_a_path_column_goes_with_a_manifest_only(tmp_path: Path, text: str) -> None:
    plant(tmp_path, "a.dcm", "films.txt")
    given = text if "://" in text else f"{tmp_path}/{text}"
    with pytest.raises(WrongUse, match="--path-column is for a manifest"):
        open_source(given, SourceOptions(path_column="film"))


def test_keys_of_instances_do_not_go_with_items_that_are_series() -> None:
    text = "dicomweb+https://pacs.example/dicom-web?InstanceNumber=1"
    open_source(text, FILMS)
    with pytest.raises(WrongUse, match="whole series"):
        open_source(text, SourceOptions(GroupBy.FOLDER))


def test_items_and_access_travel_and_no_secret_shows() -> None:
    access = access_from(ClientSettings(dicomweb_username="jane", dicomweb_password=SecretStr("hunter2")))  # type: ignore[call-arg]
    source = open_source("dicomweb+https://pacs.example/dicom-web", SourceOptions(access=access))
    assert pickle.loads(pickle.dumps(source.access)) == source.access
    assert source.access.authorization == "Basic amFuZTpodW50ZXIy"
    for text in (repr(source), repr(access), repr(source.description)):
        assert "hunter2" not in text
        assert "amFuZTpodW50ZXIy" not in text


def test_what_a_query_says_of_a_patient_is_not_written_down() -> None:
    query = "StudyDate=2020-&PatientID=77&PatientName=DOE*&AccessionNumber=4711"
    source = open_source(f"dicomweb+https://pacs.example/rs/?{query}", FILMS)
    assert source.description["text"] == (
        "dicomweb+https://pacs.example/rs?StudyDate=2020-&PatientID=(hidden)&PatientName=(hidden)&AccessionNumber=(hidden)"
    )


def test_credentials_go_to_their_server_only() -> None:
    access = Access(authorization="Bearer x", origin="https://pacs.example:443")
    assert access.authorization_for("https://pacs.example/dicom-web/studies") == "Bearer x"
    assert access.authorization_for("https://PACS.example:443/") == "Bearer x"
    for other in ("http://pacs.example/", "https://pacs.example:8443/", "https://pacs.example.evil/", "https://h:x/"):
        assert access.authorization_for(other) == ""
    assert Access(authorization="Bearer x").authorization_for("https://pacs.example/") == ""


def test_credentials_of_one_server_are_not_sent_to_another() -> None:
    access = Access(authorization="Bearer x", origin="https://pacs.example:443")
    options = SourceOptions(access=access)
    assert open_source("dicomweb+https://pacs.example/rs", options).access == access
    with pytest.raises(WrongUse, match="another server"):
        open_source("dicomweb+https://other.example/rs", options)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dicomweb_username": "jane"}, "only one is set"),
        ({"dicomweb_password": SecretStr("x")}, "only one is set"),
        ({"dicomweb_username": "jane", "dicomweb_password": "x", "dicomweb_token": "y"}, "not both"),
        ({"dicomweb_token": SecretStr("two\nlines")}, "line break"),
        ({"dicomweb_ca_file": Path("/no/such.pem")}, "DICOMWEB_CA_FILE: /no/such.pem holds no certificates"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(WrongUse, match=says):
        access_from(ClientSettings(**settings))  # type: ignore[arg-type]


def test_no_imaging_library_is_imported_and_no_arrow_before_a_manifest_is() -> None:
    code = (
        "import sys\n"
        "for name in ('pydicom', 'nibabel', 'PIL', 'cv2', 'radserve_preproc', 'pyarrow'): sys.modules[name] = None\n"
        "import radserve_client.score.read, radserve_client.score.sources"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
