"""Abdominal studies: one request, the mean of its logits, grades by their thresholds, risk, and the two pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from radserve_contract.ct import OrganGradingProfile
from radserve_contract.findings import Findings, ImageDescription, ModelIdentity, Notice, VolumeGeometry
from radserve_contract.pipelines.abdominal_trauma import CAM_CLASSES, NETWORK, NETWORK_128, SPEC
from radserve_preproc.activation import Upsampled
from radserve_preproc.detect import Detect
from radserve_preproc.errors import BadModelOutput, BadRequest
from radserve_preproc.fuse_grades import grade, sigmoid, softmax
from radserve_preproc.render_gradcam import STRENGTH, blended, most_serious
from radserve_preproc.study import DecodedImage
from radserve_preproc.tasks.organ_grading import TASK
from radserve_preproc.tasks.task import Analysis, Outcome, Picture

GEOMETRY = VolumeGeometry(
    origin_mm=(-200.0, -180.0, 0.0),
    direction=(1, 0, 0, 0, 1, 0, 0, 0, 1),
    spacing_mm=(0.8, 0.8, 2.5),
    shape=(40, 96, 80),
)
PIXELS = np.random.default_rng(2).integers(-200, 300, GEOMETRY.shape).astype(np.int16)
IMAGE = DecodedImage(
    PIXELS,
    ImageDescription("DICOM CT series", 96, 80, modality="CT", slices=40, geometry=GEOMETRY, slice_thickness_mm=2.5),
)
HEADS = {"bowel": 1, "extravasation": 1, "liver": 3, "kidney": 3, "spleen": 3}
DEPLOYED, SINGLE, PLAIN = (SPEC.profile(name) for name in ("deployed", "deployed_single", "plain"))


class FakeNetworks:
    """Answers ``logits`` for every item, or what ``per_item`` says; keeps what it was asked."""

    detect = Detect.AUTO

    def __init__(self, profile: OrganGradingProfile, logits: Mapping[str, Sequence[float]], **changes: Any) -> None:
        self.profile = profile
        self.logits = logits
        self.changes = changes
        self.asked: list[tuple[str, dict[str, npt.NDArray]]] = []

    def classes(self, model: str) -> Sequence[str]:
        return ()

    async def prepare(self, function: Callable[[], Any]) -> Any:
        return function()

    async def ask(self, model: str, tensors: Mapping[str, npt.NDArray], *, stage: str) -> dict[str, npt.NDArray]:
        self.asked.append((model, dict(tensors)))
        items = len(next(iter(tensors.values())))
        spec = self.profile.model(model)
        answers = {t.name: np.zeros((items, *t.dims), np.float32) for t in spec.outputs}
        for name, values in self.logits.items():
            answers[name][:] = values
        return answers | {name: change(answers[name]) for name, change in self.changes.items()}


def analysed(
    profile: OrganGradingProfile = SINGLE, logits: Mapping[str, Sequence[float]] | None = None, **changes: Any
):
    networks = FakeNetworks(profile, logits or {}, **changes)
    return asyncio.run(TASK.run(networks, IMAGE)), networks


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def log_odds(*probabilities: float) -> list[float]:
    return [float(np.log(value)) for value in probabilities]


@pytest.mark.parametrize("profile", SPEC.profiles, ids=lambda profile: profile.name)
def test_a_study_is_one_request_with_its_mirror_images(profile: OrganGradingProfile) -> None:
    _, networks = analysed(profile)
    ((model, tensors),) = networks.asked
    network = NETWORK_128 if profile.name.endswith("_128") else NETWORK
    assert model == network.name
    assert list(tensors) == ["volume"]
    volume = tensors["volume"]
    flips = 3 if profile.name.startswith("deployed") and "single" not in profile.name else 0
    assert volume.shape == (1 + flips, *network.inputs[0].dims)
    assert len(volume) <= network.max_batch_size
    for axis, item in enumerate(volume[1:]):
        assert np.array_equal(item, np.flip(volume[0], axis + 1))


def test_the_mean_of_the_logits_decides_not_that_of_the_probabilities() -> None:
    def spread(answer: npt.NDArray) -> npt.NDArray:
        answer[:, 0] = (8, -3, -3, -3)  # mean -0.25; the mean of the sigmoids would be 0.285
        return answer

    outcome, _ = analysed(DEPLOYED, bowel=spread)
    assert outcome.labels[0].probability == pytest.approx(sigmoid(-0.25))


@pytest.mark.parametrize(("logits", "positive"), [(0.0, True), (-1e-6, False)])
def test_an_injury_exactly_on_its_threshold_is_positive(logits: float, positive: bool) -> None:
    outcome, _ = analysed(PLAIN, {"bowel": [logits], "extravasation": [logits]})
    for finding, words in zip(outcome.labels, (("Injured", "Healthy"), ("Present", "Absent")), strict=True):
        assert finding.positive is positive
        assert finding.status == words[0 if positive else 1]
        assert (finding.threshold, finding.comparison) == (0.5, ">=")


@pytest.mark.parametrize(
    ("probabilities", "status", "confidence"),
    [
        ((0.10, 0.50, 0.40), "Healthy", 0.10),  # none reaches .15, .55, .75: healthy, however improbable
        ((0.20, 0.56, 0.24), "Low Injury", 0.56),
        ((0.20, 0.50, 0.30), "Healthy", 0.20),  # the only one kept, though not the most probable
        ((0.16, 0.08, 0.76), "High Injury", 0.76),
        ((0.05, 0.20, 0.75), "High Injury", 0.75),
    ],
)
def test_an_organ_gets_the_most_probable_grade_that_reaches_its_threshold(
    probabilities: tuple[float, ...], status: str, confidence: float
) -> None:
    outcome, _ = analysed(SINGLE, {"liver": log_odds(*probabilities[:2], probabilities[2] + 1e-9)})
    liver = outcome.organs[0]
    assert (liver.name, liver.status) == ("liver", status)
    assert liver.confidence == pytest.approx(confidence, abs=1e-6)
    assert [*liver.probabilities] == ["normal", "low", "high"]
    assert [*liver.probabilities.values()] == pytest.approx(probabilities, abs=1e-6)


def test_thresholds_of_zero_keep_every_grade_and_the_most_probable_wins() -> None:
    evaluated = SPEC.profile("evaluated")
    found = grade({"liver": np.log([0.5, 0.45, 0.05])}, evaluated.organs[0])
    assert found.status == "Healthy"
    found = grade({"liver": np.log([0.44, 0.46, 0.10])}, evaluated.organs[0])
    assert found.status == "Low Injury"


HEALTHY = {
    "bowel": [-9.0],
    "extravasation": [-9.0],
    **{organ: [9.0, 0.0, 0.0] for organ in ("liver", "kidney", "spleen")},
}


@pytest.mark.parametrize(
    ("change", "risk"),
    [
        ({}, "Low"),
        ({"bowel": [9.0]}, "High"),
        ({"extravasation": [logit(0.79)]}, "High"),
        ({"extravasation": [logit(0.77)]}, "Low"),
        ({"spleen": log_odds(0.55, 0.04, 0.41)}, "High"),  # its grade is Healthy: .41 is under .55
        ({"spleen": log_odds(0.58, 0.03, 0.39)}, "Low"),
        ({"kidney": log_odds(0.67, 0.31, 0.02)}, "Moderate"),
        ({"kidney": log_odds(0.69, 0.29, 0.02)}, "Low"),
        ({"kidney": log_odds(0.1, 0.45, 0.45)}, "High"),
    ],
)
def test_the_risk_follows_raw_probabilities(change: dict[str, list[float]], risk: str) -> None:
    outcome, _ = analysed(SINGLE, HEALTHY | change)
    assert outcome.risk == risk


def test_large_logits_do_not_overflow() -> None:
    assert (sigmoid(-1e4), sigmoid(1e4)) == (0.0, 1.0)
    assert softmax(np.array([1e4, 0.0, -1e4])).tolist() == [1, 0, 0]


def test_the_activation_maps_are_those_of_the_study_itself() -> None:
    def ramp(answer: npt.NDArray) -> npt.NDArray:
        answer[:] = np.arange(len(answer)).reshape(-1, 1, 1, 1, 1) / 4
        return answer

    outcome, _ = analysed(DEPLOYED, cams=ramp)
    assert outcome.maps["cams"].shape == NETWORK.outputs[-1].dims
    assert (outcome.maps["cams"] == 0).all()


@pytest.mark.parametrize("value", [-0.01, 1.1])
def test_maps_that_no_network_can_answer_are_refused(value: float) -> None:
    with pytest.raises(BadModelOutput, match=r"maps lie within 0\.\.1"):
        analysed(SINGLE, cams=lambda answer: answer + np.float32(value))


@pytest.mark.parametrize("overlay", [None, "summary"])
def test_head_without_gradcam_is_refused(overlay: str | None) -> None:
    with pytest.raises(BadRequest, match="head= is for overlay=gradcam") as raised:
        TASK.check(SINGLE, Picture(overlay, head="liver"))
    assert raised.value.details["heads"] == ["bowel", "extravasation", "liver", "kidney", "spleen"]


def test_an_unknown_head_is_refused_and_the_heads_are_listed() -> None:
    with pytest.raises(BadRequest, match="no such head; there is: bowel, extravasation, liver, kidney, spleen"):
        TASK.check(SINGLE, Picture("gradcam", head="pancreas"))


def test_every_head_and_no_head_may_be_asked_for() -> None:
    for head in SINGLE.heads:
        TASK.check(SINGLE, Picture("gradcam", head=head))
    for overlay in (None, "summary", "gradcam"):
        TASK.check(SINGLE, Picture(overlay))


# pictures


def analysis(
    logits: Mapping[str, Sequence[float]] | None = None,
    cams: npt.NDArray | None = None,
    *,
    trained: bool = True,
    image: DecodedImage = IMAGE,
) -> Analysis:
    outcome, _ = analysed(SINGLE, HEALTHY | (dict(logits) if logits else {}))
    maps = {"cams": np.zeros(NETWORK.outputs[-1].dims, np.float32) if cams is None else cams}
    return Analysis(image, findings(outcome, image, trained=trained), SINGLE, maps)


def findings(outcome: Outcome, image: DecodedImage, *, trained: bool) -> Findings:
    return Findings(
        pipeline="abdominal_trauma",
        profile=SINGLE.name,
        image=image.description,
        models=(ModelIdentity(NETWORK.name, "1", "ab" * 32, trained),),
        warnings=(Notice("BODY_PART_UNKNOWN", "words"),),
        changes=("3 localizers left out",),
        timings_s={},
        labels=outcome.labels,
        organs=outcome.organs,
        risk=outcome.risk,
    )


def drawn(found: Analysis, picture: Picture) -> npt.NDArray[np.uint8]:
    png = TASK.draw(found, picture)
    image = Image.open(BytesIO(png))
    assert image.format == "PNG"
    assert image.mode == "RGB"
    assert not image.info, "a picture carries no metadata"
    return np.asarray(image)


@pytest.mark.parametrize("overlay", ["summary", "gradcam"])
def test_untrained_weights_are_written_on_every_picture(overlay: str) -> None:
    trained, untrained = (drawn(analysis(trained=state), Picture(overlay)) for state in (True, False))
    red = (200, 16, 46)
    assert (untrained == red).all(axis=2).any(axis=1).sum() > 20
    assert not (trained == red).all(axis=2).any()


def test_the_summary_is_the_usual_picture() -> None:
    found = analysis()
    assert TASK.draw(found, Picture()) == TASK.draw(found, Picture("summary"))


def test_the_summary_changes_with_each_finding() -> None:
    usual = drawn(analysis(), Picture("summary"))
    changes = [
        {"bowel": [9.0]},
        {"extravasation": [9.0]},
        *({organ: [0.0, 0.0, 9.0]} for organ in ("liver", "kidney", "spleen")),
    ]
    places = []
    for change in changes:
        other = drawn(analysis(change), Picture("summary"))
        differs = (usual != other).any(axis=2)
        differs[:120] = False  # the headline says the risk
        rows, columns = np.nonzero(differs)
        places.append((rows.min(), columns.min()))
    assert len(set(places)) == 5, "each finding has a card of its own"


def test_the_summary_is_light_for_printing_and_larger_for_paper() -> None:
    screen, paper = (drawn(analysis(), Picture("summary", full_size=full)) for full in (False, True))
    assert (screen == 255).all(axis=2).mean() > 0.4
    assert paper.shape[1] > 1.9 * screen.shape[1]


def test_a_study_without_geometry_is_drawn_too() -> None:
    image = replace(IMAGE, description=ImageDescription("NIfTI volume", 96, 80, slices=40))
    for overlay in TASK.pictures:
        assert drawn(analysis(image=image), Picture(overlay)).size


def hot(name: str, *, x: int, y: int, z: int) -> npt.NDArray[np.float32]:
    cams = np.zeros(NETWORK.outputs[-1].dims, np.float32)
    cams[CAM_CLASSES.index(name), x, y, z] = 1
    return cams


def coloured(found: Analysis, picture: Picture) -> npt.NDArray[np.bool_]:
    """Where the picture of these maps differs from that of none, leaving out header and legend: (rows, columns)."""
    nothing = replace(found, maps={"cams": np.zeros_like(found.maps["cams"])})
    with_heat, without = drawn(found, picture), drawn(nothing, picture)
    differs = (np.ptp(with_heat.astype(int), axis=2) > 25) & (np.ptp(without.astype(int), axis=2) == 0)
    return differs[150:-80]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, 3), (3, 3)])
def test_heat_lies_where_the_map_has_it(x: int, y: int) -> None:
    found = analysis({"liver": [0.0, 0.0, 9.0]}, hot("liver:high", x=x, y=y, z=1))
    differs = coloured(found, Picture("gradcam", head="liver"))
    rows, columns = np.nonzero(differs[:, :600])  # the axial slice, 742 pixels high, 618 wide
    assert bool(columns.mean() < 300) is (x == 0)
    assert bool(rows.mean() < 330) is (y == 0)


def test_the_head_that_is_named_is_shown_else_the_most_serious() -> None:
    found = analysis({"spleen": [0.0, 9.0, 0.0]}, hot("spleen:low", x=1, y=1, z=0))
    assert coloured(found, Picture("gradcam", head="spleen")).any()
    assert coloured(found, Picture("gradcam")).any()
    assert not coloured(found, Picture("gradcam", head="kidney")).any()


def test_full_size_shows_the_slice_pixel_by_pixel() -> None:
    large = replace(IMAGE, pixels=np.zeros((16, 900, 900), np.int16))
    screen, full = (drawn(analysis(image=large), Picture("gradcam", full_size=size)) for size in (False, True))
    assert screen.shape[1] < 1300 < full.shape[1]


@pytest.mark.parametrize(
    ("logits", "name"),
    [
        ({}, "liver"),  # all healthy alike: the most probable injury, and of equal ones the first
        ({"bowel": [9.0], "liver": [0.0, 9.0, 0.0]}, "bowel"),
        ({"kidney": [0.0, 9.0, 0.0]}, "kidney"),
        ({"kidney": [0.0, 9.0, 0.0], "spleen": [0.0, 0.0, 9.0]}, "spleen"),
    ],
)
def test_the_most_serious_finding(logits: dict[str, list[float]], name: str) -> None:
    assert most_serious(analysis(logits).findings).name == name


def test_upsampling_is_trilinear_between_the_centres_of_the_coarse_voxels() -> None:
    coarse = np.array([0.0, 1.0]).reshape(2, 1, 1)
    cam = Upsampled.of(coarse, (8, 3, 2))
    # centres at 1.5 and 5.5 of 8; constant beyond them
    assert cam.plane(2, 0)[:, 0].tolist() == pytest.approx([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1])
    assert cam.plane(0, 7).shape == (3, 2)
    assert (cam.plane(0, 7) == 1).all()


def test_planes_of_the_three_axes_meet_in_the_same_values() -> None:
    coarse = np.random.default_rng(4).random((4, 3, 2))
    cam = Upsampled.of(coarse, (20, 15, 10))
    x, y, z = 7, 11, 4
    assert cam.plane(0, x)[y, z] == pytest.approx(cam.plane(1, y)[x, z]) == pytest.approx(cam.plane(2, z)[x, y])
    whole = np.stack([cam.plane(2, index) for index in range(10)], axis=2)
    for axis in range(3):
        others = tuple(number for number in range(3) if number != axis)
        sums = whole.sum(axis=others)
        assert sums[cam.strongest(axis)] == pytest.approx(sums.max())


def test_the_strongest_plane_of_nothing_is_the_middle_one() -> None:
    assert [Upsampled.of(np.zeros((4, 4, 2)), (20, 15, 10)).strongest(axis) for axis in range(3)] == [10, 7, 5]


def test_no_heat_leaves_the_grey_picture_alone_and_more_heat_hides_more() -> None:
    grey = np.full((1, 3), 40.0)
    none, half, full = blended(grey, np.array([[0.0, 0.5, 1.0]]))[0]
    assert len(set(none.tolist())) == 1
    assert none[0] == round((40 + 160) / 400 * 255)
    assert np.ptp(full.astype(int)) > np.ptp(none.astype(int))
    assert not np.array_equal(half, full)
    assert 0 < STRENGTH < 1
