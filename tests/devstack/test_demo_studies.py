"""What the demo shows of each pipeline: nothing that another one overwrites, or that a slow machine cannot score."""

from __future__ import annotations

from pathlib import Path

from radserve_client.studies import Study
from radserve_devstack.demo_files import answer_path, overlay_path, plan, samples_folder
from radserve_devstack.demo_studies import STUDIES, sample_studies


def test_no_demo_overwrites_the_studies_or_answers_of_another(tmp_path: Path) -> None:
    """The README runs them one after the other into one folder."""
    written = [
        path
        for studies in STUDIES.values()
        for job in plan([Study(tmp_path / name, ()) for name in studies.phantoms], tmp_path)
        for path in (job.study.path, answer_path(job), overlay_path(job))
    ]
    assert len(written) == 3 * sum(len(studies.phantoms) for studies in STUDIES.values())
    assert sorted(set(written)) == sorted(written)


def test_the_samples_of_each_pipeline_have_a_folder_of_their_own(tmp_path: Path) -> None:
    assert len({samples_folder(tmp_path, name) for name in STUDIES}) == len(STUDIES)


def test_the_chest_network_is_not_kept_busy_with_what_it_does_not_read(tmp_path: Path) -> None:
    """A hundred slices take a minute of two cores; the service gives an answer a minute, and a 504 fails the demo."""
    others = ("ct_body_3mm_int32.nii.gz", "ct_head_uint8_sclslope.nii.gz", "fmri_4d_int16_sclslope.nii")
    for name in ("ct-chest-covid/a.dcm", *(f"nifti/{name}" for name in others)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [study.path.name for study in sample_studies("covid_lung", tmp_path)] == ["ct-chest-covid"]
