"""`radserve convert`: volumes at their true place, facts without the patient, slices as the COVID system saw them."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from typer.testing import CliRunner, Result

from radserve_client.cli import app
from radserve_devstack.phantoms.ct import CtPhantom, ct_phantom

PATIENT = "SECRET^NAME"


@pytest.fixture(scope="module")
def phantom() -> CtPhantom:
    """Eight slices of a chest, 64 x 64."""
    return ct_phantom("chest", slices=8, size=64)


def convert(*arguments: str | Path, expect: int = 0) -> Result:
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result


def folder_of(files: Iterable[bytes], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for number, content in enumerate(files):
        (folder / f"IM{number:03d}").write_bytes(content)
    return folder


def zip_of(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder))
    return path


def rewritten(files: Iterable[bytes], **elements: Any) -> list[bytes]:
    """The same slices with other elements; a callable gets the data set."""
    changed = []
    for content in files:
        ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))
        for keyword, value in elements.items():
            setattr(ds, keyword, value(ds) if callable(value) else value)
        buffer = pydicom.filebase.DicomBytesIO()
        ds.save_as(buffer)
        changed.append(buffer.getvalue())
    return changed


def assert_same_place(one: Path, other: Any) -> None:
    """Every voxel of the NIfTI file ``one`` is where SimpleITK's image ``other`` has it, within 0.001 mm."""
    ours = SimpleITK.ReadImage(str(one))
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(ours), SimpleITK.GetArrayFromImage(other))
    last = tuple(length - 1 for length in ours.GetSize())
    for voxel in ((0, 0, 0), last, (last[0], 0, 0), (0, last[1], 0), (0, 0, last[2])):
        theirs = other.TransformIndexToPhysicalPoint(voxel)
        np.testing.assert_allclose(ours.TransformIndexToPhysicalPoint(voxel), theirs, atol=1e-3)


def loaded(path: Path) -> Any:
    """nibabel's image."""
    return nibabel.load(path)


def read_by_simpleitk(folder: Path) -> Any:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize("packed", ["folder", "zip", "NIfTI"])
def test_a_series_lies_where_simpleitk_has_it(phantom: CtPhantom, tmp_path: Path, packed: str) -> None:
    folder = folder_of(phantom.dicom_files(), tmp_path / "series/nested")
    source = folder.parent
    if packed == "zip":
        source = zip_of(folder.parent, tmp_path / "series.zip")
    if packed == "NIfTI":
        source = tmp_path / "volume.nii.gz"
        source.write_bytes(phantom.nifti())
    out = tmp_path / "new/out.nii.gz"
    assert str(out) in convert(source, out).stdout
    assert_same_place(out, read_by_simpleitk(folder))
    assert nibabel.aff2axcodes(loaded(out).affine) == ("L", "P", "S")


def test_what_nibabel_reads_and_writes_again_is_the_same_to_simpleitk(phantom: CtPhantom, tmp_path: Path) -> None:
    source = folder_of(phantom.dicom_files(), tmp_path / "series")
    convert(source, tmp_path / "out.nii.gz")
    again = tmp_path / "again.nii.gz"
    nibabel.save(loaded(tmp_path / "out.nii.gz"), again)
    assert_same_place(again, read_by_simpleitk(source))


def test_one_file_is_a_volume_of_one_slice(phantom: CtPhantom, tmp_path: Path) -> None:
    source = tmp_path / "slice.dcm"
    source.write_bytes(phantom.dicom_files()[3])
    convert(source, tmp_path / "out.nii.gz")
    data = np.asarray(loaded(tmp_path / "out.nii.gz").dataobj)
    np.testing.assert_array_equal(data[..., 0], phantom.volume[3].T)


def test_the_json_has_the_facts_and_nothing_of_the_patient(phantom: CtPhantom, tmp_path: Path) -> None:
    files = rewritten(phantom.dicom_files(), PatientName=PATIENT, StudyDescription=PATIENT, SeriesDescription=PATIENT)
    convert(folder_of(files, tmp_path / "series"), tmp_path / "out.nii.gz")
    text = (tmp_path / "out.json").read_text()
    facts = json.loads(text)
    assert (facts["kind"], facts["modality"], facts["body_part_examined"]) == ("DICOM series", "CT", "CHEST")
    assert facts["geometry"]["shape_slices_rows_columns"] == [8, 64, 64]
    assert facts["geometry"]["spacing_columns_rows_slices_mm"] == pytest.approx([6.25, 6.25, 37.5])
    assert facts["nifti_affine_ras_mm"] == loaded(tmp_path / "out.nii.gz").affine.tolist()
    assert facts["slice_positions_mm"] == pytest.approx([37.5 * k for k in range(8)])
    assert facts["counts"] == {"files": 8, "skipped": 0, "slices": 8}
    assert (facts["changes"], facts["warnings"]) == ([], [])
    ds = pydicom.dcmread(pydicom.filebase.DicomBytesIO(files[0]))
    for secret in (PATIENT, "SECRET", ds.PatientID, ds.StudyDate, ds.StudyInstanceUID, ds.SeriesInstanceUID):
        assert secret not in text
    assert b"SECRET" not in (tmp_path / "out.nii.gz").read_bytes()


def test_a_body_part_of_unknown_words_is_not_repeated(phantom: CtPhantom, tmp_path: Path) -> None:
    files = rewritten(phantom.dicom_files(), BodyPartExamined="SECRET CHEST")
    convert(folder_of(files, tmp_path / "series"), tmp_path / "out.nii.gz")
    assert json.loads((tmp_path / "out.json").read_text())["body_part_examined"] is None


def tilted(ds: pydicom.Dataset) -> list[float]:
    x, y, z = ds.ImagePositionPatient
    return [x, y + 0.2 * (z + 131.25), z]


def test_a_tilt_is_mended_or_kept_and_always_said(phantom: CtPhantom, tmp_path: Path) -> None:
    source = folder_of(rewritten(phantom.dicom_files(), ImagePositionPatient=tilted), tmp_path / "series")
    mended, kept = tmp_path / "mended.nii.gz", tmp_path / "kept.nii.gz"
    assert "GANTRY_TILT" in convert(source, mended).stderr
    assert "GANTRY_TILT" in convert(source, kept, "--keep").stderr
    changes = [json.loads((tmp_path / name).read_text())["changes"] for name in ("mended.json", "kept.json")]
    assert "re-sheared" in changes[0][0]
    assert changes[1] == []
    np.testing.assert_array_equal(
        np.asarray(loaded(kept).dataobj),
        phantom.volume.transpose(2, 1, 0),
    )
    # by hand: 0.2 mm to the back per mm up, 37.5 mm between slices
    affines = [loaded(path).affine for path in (mended, kept)]
    np.testing.assert_allclose(affines[1][:3, 2], [0, -7.5, 37.5], atol=1e-3)
    np.testing.assert_allclose(affines[0][:3, 2], [0, 0, 37.5], atol=1e-3)


def test_slices_are_scaled_each_on_its_own(phantom: CtPhantom, tmp_path: Path) -> None:
    source = tmp_path / "volume.nii.gz"
    source.write_bytes(phantom.nifti())
    convert(source, tmp_path / "out.nii.gz", "--png", tmp_path / "png")
    pictures = sorted((tmp_path / "png").iterdir())
    assert [path.name for path in pictures] == [f"slice_{k:03d}.png" for k in range(8)]
    for path, values in zip(pictures, phantom.volume, strict=True):
        picture = Image.open(path)
        grey = np.asarray(picture).astype(int)
        assert (picture.mode, grey.shape, grey.min(), grey.max()) == ("L", (64, 64), 0, 255)
        assert (grey[values == values.min()] == 0).all()
        assert (grey[values == values.max()] == 255).all()
        order = np.argsort(values, axis=None)
        assert (np.diff(grey.ravel()[order]) >= 0).all()


def test_all_makes_a_file_per_series_and_nifti(phantom: CtPhantom, tmp_path: Path) -> None:
    head = ct_phantom("head", slices=5, size=64)
    archive = tmp_path / "archive"
    folder_of(phantom.dicom_files(), archive / "a/chest")
    folder_of(head.dicom_files(), archive / "b")
    (archive / "c.nii.gz").write_bytes(head.nifti())
    (archive / "notes.txt").write_text("no image")
    (archive / ".hidden").write_text("no image")
    result = convert(archive, tmp_path / "out", "--all", "--png", tmp_path / "png")
    assert len(result.stdout.splitlines()) == 3
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"volume_{n:03d}{suffix}" for n in (1, 2, 3) for suffix in (".json", ".nii.gz")]
    volumes = [np.asarray(loaded(tmp_path / f"out/volume_{n:03d}.nii.gz").dataobj) for n in (1, 2, 3)]
    for volume, drawn in zip(volumes, (phantom, head, head), strict=True):
        np.testing.assert_array_equal(volume.T, drawn.volume)
    assert len(list((tmp_path / "png/volume_002").iterdir())) == 5
    facts = json.loads((tmp_path / "out/volume_001.json").read_text())
    assert facts["counts"] == {"files": 8, "skipped": 1, "slices": 8}  # the notes; hidden files are not seen at all


def test_all_of_a_zip(phantom: CtPhantom, tmp_path: Path) -> None:
    folder_of(phantom.dicom_files(), tmp_path / "x/1")
    folder_of(ct_phantom("chest", slices=4, size=64, lesion=False).dicom_files(), tmp_path / "x/2")
    convert(zip_of(tmp_path / "x", tmp_path / "x.zip"), tmp_path / "out", "--all")
    shapes = {json.loads(path.read_text())["counts"]["slices"] for path in (tmp_path / "out").glob("*.json")}
    assert shapes == {4, 8}


def test_all_goes_on_after_a_failure_and_says_so(phantom: CtPhantom, tmp_path: Path) -> None:
    archive = folder_of(phantom.dicom_files(), tmp_path / "archive")
    (archive / "0broken.nii.gz").write_bytes(phantom.nifti()[:500])
    result = convert(archive, tmp_path / "out", "--all", expect=3)
    assert "0broken.nii.gz: CORRUPT_NIFTI" in result.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.gz")] == ["volume_002.nii.gz"]
    (tmp_path / "only").mkdir()
    (archive / "0broken.nii.gz").rename(tmp_path / "only/0broken.nii.gz")
    convert(tmp_path / "only", tmp_path / "none", "--all", expect=1)


def test_of_several_series_one_is_chosen_or_asked_for(phantom: CtPhantom, tmp_path: Path) -> None:
    other = ct_phantom("head", slices=5, size=64)
    folder = folder_of([*phantom.dicom_files(), *other.dicom_files()], tmp_path / "two")
    assert "SEVERAL_SERIES" in convert(folder, tmp_path / "out.nii.gz").stderr
    assert json.loads((tmp_path / "out.json").read_text())["counts"]["slices"] == 8
    uid = pydicom.dcmread(pydicom.filebase.DicomBytesIO(other.dicom_files()[0])).SeriesInstanceUID
    convert(folder, tmp_path / "out.nii.gz", "--series", uid)
    assert json.loads((tmp_path / "out.json").read_text())["counts"]["slices"] == 5


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda path: path.write_text("plain text"), "UNSUPPORTED_FILE"),
        (lambda path: path.write_bytes(b""), "UNSUPPORTED_FILE"),
        (lambda path: path.write_bytes(b"PK\x03\x04 broken"), "BAD_ARCHIVE"),
        (lambda path: path.write_bytes(b"\x1f\x8b broken"), "CORRUPT_NIFTI"),
        (lambda path: path.mkdir(), "BAD_REQUEST"),
    ],
    ids=["text", "empty", "zip", "gzip", "empty folder"],
)
@pytest.mark.parametrize("every", [False, True])
def test_what_cannot_be_converted_is_said_and_nothing_is_written(
    make: Any, code: str, every: bool, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    make(source)
    target = tmp_path / "target"
    options: list[str | Path] = [target, "--all"] if every else [target / "out.nii.gz"]
    result = convert(source, *options, expect=1)
    assert (code if not every else ": ") in result.stderr
    assert "Traceback" not in result.output
    assert not list(target.rglob("*"))


def test_several_nifti_files_need_all(phantom: CtPhantom, tmp_path: Path) -> None:
    folder = folder_of([phantom.nifti(), phantom.nifti()], tmp_path / "two")
    assert "--all converts each" in convert(folder, tmp_path / "out.nii.gz", expect=1).stderr


@pytest.mark.parametrize(
    "arguments", [["out.nii"], ["out.nii.gz", "--all", "--series", "1.2"], ["taken", "--all"]], ids=str
)
def test_wrong_usage_is_2(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "source").write_bytes(b"x")
    (tmp_path / "taken").write_bytes(b"x")
    convert("source", *arguments, expect=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "taken"]


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_without_the_decoders_it_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"x")
    result = run(
        "import sys; sys.modules['radserve_preproc'] = None\n"
        "from radserve_client.cli import app\n"
        f"app(['convert', {str(tmp_path / 'source')!r}, {str(tmp_path / 'out.nii.gz')!r}])"
    )
    assert result.returncode == 1
    assert "radserve-client[local]" in result.stderr
    assert "Traceback" not in result.stderr


def test_other_commands_do_not_load_the_decoders() -> None:
    result = run("import sys; import radserve_client.cli; print([m for m in sys.modules if 'preproc' in m])")
    assert result.stdout.strip() == "[]"


def test_a_real_series_lies_where_simpleitk_has_it(sample_data: Path, tmp_path: Path) -> None:
    source = sample_data / "ct-upper-abdomen-blank-uids"
    convert(source, tmp_path / "out.nii.gz")
    reader = SimpleITK.ImageSeriesReader()
    names = sorted(map(str, source.iterdir()), key=lambda name: pydicom.dcmread(name).ImagePositionPatient[2])
    reader.SetFileNames(names)
    assert_same_place(tmp_path / "out.nii.gz", reader.Execute())


def test_a_real_archive_is_converted(sample_data: Path, tmp_path: Path) -> None:
    result = convert(sample_data / "archives/ct_upper_abdomen_with_junk.zip", tmp_path / "out.nii.gz")
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["counts"] == {"files": 21, "skipped": 2, "slices": 20}
    assert "OTHER_OBJECTS" in result.stderr


def test_a_real_nifti_keeps_its_place(sample_data: Path, tmp_path: Path) -> None:
    source = sample_data / "nifti/ct_body_3mm_int16_30slices.nii.gz"
    convert(source, tmp_path / "out.nii.gz")
    theirs: Any = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(source)), "LPS")
    assert_same_place(tmp_path / "out.nii.gz", theirs)
