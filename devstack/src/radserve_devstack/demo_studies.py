"""A pipeline's name in; what the demo draws for it, and which real samples it looks for, out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from radserve_client.studies import Study, studies_of
from radserve_devstack.demo_files import make_folder
from radserve_devstack.errors import StackError
from radserve_devstack.phantoms import spine
from radserve_devstack.phantoms.ct import ct_phantom

CT_SLICES = 40
CT_SIZE = 256

Draw = Callable[[Path], None]
"""Writes a study to a path: a file, or the folder of a series."""


@dataclass(frozen=True, slots=True)
class DemoStudies:
    """``phantoms`` by file or folder name; ``samples`` are patterns below the sample folder, a study for each match."""

    phantoms: Mapping[str, Draw]
    samples: tuple[str, ...]


def _film(path: Path, *, abnormal: bool) -> None:
    spine.write_dicom(path, abnormal)


def _series(path: Path, *, kind: str, lesion: bool, is_signed: bool = False) -> None:
    make_folder(path)
    phantom = ct_phantom(kind, slices=CT_SLICES, size=CT_SIZE, lesion=lesion)
    for k, content in enumerate(phantom.dicom_files(is_signed=is_signed)):
        (path / f"{k:03}.dcm").write_bytes(content)


def _slice(path: Path, *, kind: str, lesion: bool, is_signed: bool = False) -> None:
    phantom = ct_phantom(kind, slices=CT_SLICES, size=CT_SIZE, lesion=lesion)
    path.write_bytes(phantom.dicom_files(is_signed=is_signed)[CT_SLICES // 2])


def _nifti(path: Path, *, kind: str, lesion: bool) -> None:
    path.write_bytes(ct_phantom(kind, slices=CT_SLICES, size=CT_SIZE, lesion=lesion).nifti())


def _volumes(kind: str) -> dict[str, Draw]:
    """A series with a lesion as DICOM, one without as NIfTI."""
    return {
        f"{kind}-lesion": partial(_series, kind=kind, lesion=True),
        f"{kind}-quiet.nii.gz": partial(_nifti, kind=kind, lesion=False),
    }


# No name twice: the README runs one demo after the other, into one folder.
STUDIES: Mapping[str, DemoStudies] = {
    "spine": DemoStudies(
        {
            "spine-normal.dcm": partial(_film, abnormal=False),
            "spine-abnormal.dcm": partial(_film, abnormal=True),
        },
        ("radiographs/*",),
    ),
    "hemorrhage": DemoStudies(
        {
            # signed, as some scanners store: of unsigned values the network sees the outline of a head and no blood
            "head-bleeding": partial(_series, kind="head", lesion=True, is_signed=True),
            "head-quiet-slice.dcm": partial(_slice, kind="head", lesion=False, is_signed=True),
        },
        ("ct-head-*", "ct-single/*", "ct-one-slice-many-syntaxes/*"),
    ),
    "head_ct": DemoStudies(_volumes("head"), ("ct-head-*", "nifti/ct_head*", "nifti/*head*")),
    "abdominal_trauma": DemoStudies(_volumes("abdomen"), ("ct-upper-abdomen-*", "archives/*", "nifti/*")),
    "covid_lung": DemoStudies(
        _volumes("chest") | {"chest-lesion-slice.dcm": partial(_slice, kind="chest", lesion=True)},
        # on two cores a slice takes a third of a second, and the service gives an answer a minute
        ("ct-chest-*", "nifti/ct_body_*_30slices*", "nifti/single_slice*", "nifti/truncated*"),
    ),
}


def served_pipelines(repository: Path) -> list[str]:
    """The pipelines that a served repository holds, in the order it was published with.

    Raises
    ------
    StackError
        It has no manifest, or one that cannot be read.
    """
    try:
        manifest = json.loads((repository / "manifest.json").read_text(encoding="utf-8"))
        return [item["pipeline"] for item in manifest["pipelines"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = type(error).__name__
        raise StackError(
            f"{repository} is no served repository (its manifest.json: {why}); run `make export`"
        ) from None


def draw_phantoms(pipeline: str, folder: Path, *, again: bool) -> list[Study]:
    """Write the pipeline's phantoms into ``folder``; those that are there stay, unless ``again``."""
    make_folder(folder)
    paths = []
    for name, draw in STUDIES[pipeline].phantoms.items():
        path = folder / name
        if again or not path.exists():
            draw(path)
        paths.append(path)
    return studies_of(paths, pipeline)


def sample_studies(pipeline: str, folder: Path) -> list[Study]:
    """The sample studies for that pipeline, sorted; none when the folder is not there."""
    found = {path for pattern in STUDIES[pipeline].samples for path in folder.glob(pattern)}
    return studies_of(sorted(found), pipeline)
