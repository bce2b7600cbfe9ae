"""Every CT pipeline through the real service and the real Triton server, with untrained networks."""

from __future__ import annotations

import gzip
import io
import re
from typing import Any

import httpx
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from radserve_contract.ct import OrganGradingProfile, SegmentationProfile, SliceLabelsProfile, VolumeLabelsProfile
from radserve_contract.pipelines import abdominal_trauma, covid_lung, head_ct, hemorrhage
from radserve_contract.spec import Accepts, PipelineSpec
from radserve_preproc.tasks.registry import task_of
from radserve_triton.server import TritonServer
from tests.dicom_files import to_bytes
from tests.end_to_end.conftest import CT_LIMIT_BYTES
from tests.end_to_end.ct_service import KINDS, SLICES, phantom, scores_of, series, zipped
from tests.predicting import findings, post_series, refusal
from tests.service_process import ServiceProcess
from tests.triton_statistics import ran

SPECS = (hemorrhage.SPEC, head_ct.SPEC, abdominal_trauma.SPEC, covid_lung.SPEC)
NIFTI = "application/x-nifti"


@pytest.fixture(scope="module")
def answers(ct: httpx.Client) -> dict[str, dict[str, Any]]:
    """The answer of each pipeline to the phantom of its part of the body, sent as the files of a series."""
    return {spec.name: findings(post_series(ct, spec.name, series(KINDS[spec.name]))) for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_series_is_answered_with_everything_the_pipeline_says(
    answers: dict[str, dict[str, Any]], spec: PipelineSpec
) -> None:
    answer, profile = answers[spec.name], spec.profile()
    assert (answer["pipeline"], answer["profile"], answer["trained"]) == (spec.name, profile.name, False)
    assert answer["notices"][0].startswith("UNTRAINED")
    assert answer["image"]["slices"] == SLICES
    assert answer["image"]["geometry"]["shape"] == [SLICES, *phantom(KINDS[spec.name]).volume.shape[1:]]
    assert [model["name"] for model in answer["models"]] == [model.name for model in profile.models]
    assert all(re.fullmatch(r"[0-9a-f]{64}", model["digest"]) for model in answer["models"])
    if isinstance(profile, SliceLabelsProfile | VolumeLabelsProfile):
        assert [label["name"] for label in answer["labels"]] == [label.name for label in profile.labels]
    if isinstance(profile, OrganGradingProfile):
        assert [label["name"] for label in answer["labels"]] == ["bowel", "extravasation"]
        assert [organ["name"] for organ in answer["organs"]] == ["liver", "kidney", "spleen"]
        assert answer["risk"] in ("Low", "Moderate", "High")
    if isinstance(profile, SegmentationProfile):
        assert len(answer["segmentation"]["fraction_per_slice"]) == SLICES
    assert all(0 < score < 1 for score in scores_of(answer).values()), "saturated scores hide every error"


def test_the_highest_score_of_a_series_is_that_of_its_slice(ct: httpx.Client, answers: dict[str, Any]) -> None:
    answer = answers["hemorrhage"]
    for label in answer["labels"]:
        per_slice = answer["slices"]["probabilities"][label["name"]]
        assert label["probability"] == max(per_slice) == per_slice[label["slice"]]
    worst = answer["labels"][-1]["slice"]
    alone = findings(post_series(ct, "hemorrhage", [series("head")[worst]]))
    assert alone["slices"] is None
    assert alone["labels"][-1]["probability"] == pytest.approx(answer["labels"][-1]["probability"], abs=1e-5)
    assert alone["image"]["sop_instance_uid"] == answer["slices"]["sop_instance_uids"][worst]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_zip_of_the_series_has_the_same_answer(
    ct: httpx.Client, answers: dict[str, dict[str, Any]], spec: PipelineSpec
) -> None:
    answer = findings(post_series(ct, spec.name, [zipped(series(KINDS[spec.name]))]))
    assert scores_of(answer) == pytest.approx(scores_of(answers[spec.name]), abs=1e-5)
    assert any("of the archive left out" in change for change in answer["changes"])


@pytest.mark.parametrize("spec", [spec for spec in SPECS if Accepts.NIFTI in spec.accepts], ids=lambda spec: spec.name)
def test_the_same_volume_as_nifti_has_the_same_answer(
    ct: httpx.Client, answers: dict[str, dict[str, Any]], spec: PipelineSpec
) -> None:
    answer = findings(post_series(ct, spec.name, [phantom(KINDS[spec.name]).nifti()]))
    assert scores_of(answer) == pytest.approx(scores_of(answers[spec.name]), abs=1e-3)
    mine, theirs = answer["image"]["geometry"], answers[spec.name]["image"]["geometry"]
    assert mine["spacing_mm"] == pytest.approx(theirs["spacing_mm"], abs=1e-3)
    assert mine["origin_mm"] == pytest.approx(theirs["origin_mm"], abs=1e-3)


@pytest.mark.parametrize(
    ("pipeline", "kind"),
    [(spec.name, kind) for spec in SPECS for kind in task_of(spec.profile()).pictures],
)
def test_every_picture_is_a_png_of_its_own(ct: httpx.Client, pipeline: str, kind: str) -> None:
    response = post_series(ct, pipeline, series(KINDS[pipeline]), overlay=kind)
    assert response.headers["content-type"] == "image/png", response.text
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.mode, picture.info) == ("RGB", {})
        assert min(picture.size) >= 200
        # the banner for untrained weights, whose red nothing else has
        assert (np.asarray(picture) == (200, 16, 46)).all(axis=2).sum() > 1000


def test_an_activation_map_is_of_the_head_that_was_asked_for(ct: httpx.Client) -> None:
    pictures = {
        head: post_series(ct, "abdominal_trauma", series("abdomen"), overlay="gradcam", head=head).content
        for head in ("bowel", "spleen")
    }
    assert pictures["bowel"] != pictures["spleen"]
    refused = post_series(ct, "abdominal_trauma", series("abdomen"), overlay="gradcam", head="lung")
    assert "liver" in refusal(refused, 400, "BAD_REQUEST")["message"]


def test_a_mask_lies_on_the_grid_of_the_study(ct: httpx.Client, answers: dict[str, Any]) -> None:
    response = post_series(ct, "covid_lung", [phantom("chest").nifti()], accept=NIFTI)
    assert response.headers["content-type"] == NIFTI, response.text
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress(response.content))
    scan = nibabel.Nifti1Image.from_bytes(gzip.decompress(phantom("chest").nifti()))
    voxels = np.asarray(mask.dataobj)
    assert set(np.unique(voxels)) <= {0, 1}
    assert voxels.shape == scan.shape
    np.testing.assert_array_equal(mask.affine, scan.affine)
    assert voxels.mean() == pytest.approx(answers["covid_lung"]["segmentation"]["fraction"], abs=2e-3)


def test_pipelines_without_masks_say_so(ct: httpx.Client) -> None:
    refusal(post_series(ct, "head_ct", series("head"), accept=NIFTI), 406, "NOT_ACCEPTABLE")


def test_a_volume_goes_through_the_network_in_batches(ct: httpx.Client, ct_triton: TritonServer) -> None:
    before = ran(ct_triton.http_url, "covid_lung")
    findings(post_series(ct, "covid_lung", series("chest")))
    done = ran(ct_triton.http_url, "covid_lung") - before
    assert done.inferences == SLICES
    assert done.executions <= SLICES / 4


def test_flips_are_one_request_of_four_items(ct: httpx.Client, ct_triton: TritonServer) -> None:
    before = ran(ct_triton.http_url, "abdominal_trauma")
    findings(post_series(ct, "abdominal_trauma", series("abdomen")))
    done = ran(ct_triton.http_url, "abdominal_trauma") - before
    assert (done.inferences, done.executions) == (4, 1)


def test_another_set_of_thresholds_changes_decisions_and_no_scores(ct: httpx.Client) -> None:
    single = findings(post_series(ct, "abdominal_trauma", series("abdomen"), profile="deployed_single"))
    plain = findings(post_series(ct, "abdominal_trauma", series("abdomen"), profile="plain"))
    assert scores_of(single) == pytest.approx(scores_of(plain), abs=1e-6)
    assert [label["threshold"] for label in single["labels"]] == [0.45, 0.78]
    assert [label["threshold"] for label in plain["labels"]] == [0.5, 0.5]


def changed(content: bytes, **elements: Any) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(content))
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return to_bytes(ds)


BAD_STUDIES = {
    "a chest for a head pipeline": ("head_ct", lambda: series("chest"), 422, "WRONG_BODY_PART"),
    "a head for the abdomen": ("abdominal_trauma", lambda: series("head"), 422, "WRONG_BODY_PART"),
    "MR": ("head_ct", lambda: [changed(item, Modality="MR") for item in series("head")], 422, "WRONG_MODALITY"),
    "a slice for a volume pipeline": ("head_ct", lambda: series("head")[:1], 422, "FEW_SLICES"),
    "a cut-off slice": (
        "head_ct",
        lambda: [*series("head")[:20], series("head")[20][:-9000], *series("head")[21:]],
        422,
        None,
    ),
    "a zip in a zip": ("head_ct", lambda: [zipped((zipped(series("head")[:2]),))], 422, "BAD_ARCHIVE"),
    "half a zip": ("head_ct", lambda: [zipped(series("head"))[:-5000]], 422, "BAD_ARCHIVE"),
    "a text": ("head_ct", lambda: [b"Sehr geehrte Damen und Herren, " * 9], 415, "UNSUPPORTED_FILE"),
    "texts": ("head_ct", lambda: [b"Sehr geehrte Damen und Herren, " * 9] * 2, 415, "UNSUPPORTED_FILE"),
    "half a NIfTI": ("head_ct", lambda: [phantom("head").nifti()[:-5000]], 422, "CORRUPT_NIFTI"),
    "a gzip that is no NIfTI": ("head_ct", lambda: [gzip.compress(b"hello" * 99)], 422, "CORRUPT_NIFTI"),
    "NIfTI where none is read": ("hemorrhage", lambda: [phantom("head").nifti()], 415, "UNSUPPORTED_FILE"),
    "a picture where none is read": ("head_ct", lambda: [b"\x89PNG\r\n\x1a\n" + bytes(99)], 415, "UNSUPPORTED_FILE"),
}


@pytest.mark.parametrize("name", BAD_STUDIES)
def test_a_bad_study_is_refused_plainly_and_nothing_stays(
    ct: httpx.Client, ct_service: ServiceProcess, name: str
) -> None:
    pipeline, files, status, code = BAD_STUDIES[name]
    response = post_series(ct, pipeline, files())
    if code is None:
        assert (response.status_code, response.json()["error"]["code"].isupper()) == (status, True)
    else:
        refusal(response, status, code)
    assert ct_service.files_left() == []


def test_a_series_is_chosen_by_its_uid(ct: httpx.Client) -> None:
    uid = "1.2.826.0.1.3680043.8.498.1"
    shorter = [changed(item, SeriesInstanceUID=uid) for item in series("head")[:30]]
    both = findings(post_series(ct, "head_ct", [*series("head"), *shorter]))
    assert both["image"]["slices"] == SLICES
    assert both["image"]["series_chosen"]
    assert "SEVERAL_SERIES" in [warning["code"] for warning in both["warnings"]]
    chosen = findings(post_series(ct, "head_ct", [*series("head"), *shorter], series=uid))
    assert (chosen["image"]["slices"], chosen["image"]["series_instance_uid"]) == (30, uid)
    refusal(post_series(ct, "head_ct", shorter, series="1.2.3"), 400, "BAD_REQUEST")


def test_an_upload_over_the_limit_is_refused(ct: httpx.Client) -> None:
    refusal(post_series(ct, "head_ct", [bytes(CT_LIMIT_BYTES // 2 + 1)] * 2), 413, "TOO_LARGE")


def test_memory_stays_flat_over_500_requests(ct: httpx.Client, ct_service: ServiceProcess) -> None:
    files = [series("head")[20]]
    for _ in range(50):
        findings(post_series(ct, "hemorrhage", files))
    settled = resident_bytes(ct_service)
    for _ in range(450):
        findings(post_series(ct, "hemorrhage", files))
    assert resident_bytes(ct_service) < settled + 32 * 2**20


def resident_bytes(service: ServiceProcess) -> int:
    """Resident memory of the service."""
    with open(f"/proc/{service.child.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def test_nothing_of_the_patient_is_in_the_log(ct: httpx.Client, ct_service: ServiceProcess) -> None:
    for spec in SPECS:
        files = [changed(item, PatientName="CANARY^WILHELMINA") for item in series(KINDS[spec.name])]
        findings(post_series(ct, spec.name, files))
    assert "CANARY" not in ct_service.log
