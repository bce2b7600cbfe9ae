"""The trained system's way sees the pixels the service sees, and scores as it does with the same weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch
from pydicom.uid import JPEG2000Lossless

from bench.films import PROFILE
from bench.trained_system import TrainedSystem, annotated, png, read, to_grey
from radserve_contract.pipelines.spine import SPEC
from radserve_devstack.phantoms.dicom import radiograph
from radserve_export.classifier import Classifier
from radserve_preproc.decode import decode
from radserve_preproc.limits import DecodeLimits
from radserve_preproc.study import RawStudy
from radserve_preproc.tensorise import tensorise

TOLERANCE = 1e-6  # of a probability; the order of float32 operations differs
MEMBERS = [member.output for member in PROFILE.fusion.members]


def film(*, photometric: str = "MONOCHROME2", compressed: bool = True, description: str = "a film") -> bytes:
    """A small grainy 12-bit film, 270 x 330, as a DICOM file."""
    rows, columns = np.mgrid[0:270, 0:330]
    grain = np.random.default_rng(3).integers(0, 400, rows.shape)
    pixels = (rows * 7 + columns * 5 + grain).astype(np.uint16)
    ds = radiograph(pixels, name="bench", pixel_spacing_mm=0.15, body_part_examined="LSPINE", description=description)
    ds.PhotometricInterpretation = photometric
    if compressed:
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture(scope="module")
def networks():
    """Three small CNNs of one logit with random weights, by member name."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = {name: timm.create_model("resnet18", num_classes=1).eval() for name in MEMBERS}
    for network in built.values():
        network.fc.weight.data *= 20  # fresh networks say nearly the same of every picture
    return built


@dataclass
class ScriptedDetector:
    """Stands for ultralytics' YOLO: finds ``boxes`` over the confidences given, and remembers what it was asked."""

    boxes: dict[float, list[list[float]]]
    names: dict[int, str] = field(default_factory=lambda: {0: "Osteophytes"})
    asked: list[float] = field(default_factory=list)

    def predict(self, source, *, conf, device, verbose):
        self.asked.append(conf)
        self.shape = source.shape
        data = torch.tensor(self.boxes.get(conf, [])).reshape(-1, 6)
        return [SimpleNamespace(boxes=SimpleNamespace(data=data))]


def through_the_service(upload: bytes, networks) -> dict[str, float]:
    """Each member's probability by the service's chain and the graphs' own preprocessing."""
    image = decode(RawStudy(upload), SPEC, PROFILE, DecodeLimits())
    tensor = torch.tensor(tensorise(image, (PROFILE.inputs[0],))[PROFILE.inputs[0].tensor.name])
    with torch.no_grad():
        return {name: Classifier(network, flip_tta=False)(tensor)[1].item() for name, network in networks.items()}


def system(networks, boxes=None) -> TrainedSystem:
    return TrainedSystem(networks, ScriptedDetector(boxes or {}), PROFILE)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("compressed", [True, False])
def test_it_sees_the_pixels_that_the_service_sees(photometric, compressed):
    upload = film(photometric=photometric, compressed=compressed)
    ours = decode(RawStudy(upload), SPEC, PROFILE, DecodeLimits()).pixels
    theirs = to_grey(*read(upload))
    assert np.array_equal(theirs, ours)
    assert len(np.unique(ours)) > 200


def test_it_scores_as_the_service_does(networks):
    upload = film()
    answer, ours = system(networks).answer(upload), through_the_service(upload, networks)
    assert answer.scores == pytest.approx(ours, abs=TOLERANCE)
    assert answer.score == pytest.approx(sum(m.weight * ours[m.output] for m in PROFILE.fusion.members), abs=TOLERANCE)


def test_the_comparison_would_notice_another_film(networks):
    inverted = through_the_service(film(photometric="MONOCHROME1"), networks)
    answer = system(networks).answer(film())
    assert all(abs(answer.scores[name] - inverted[name]) > 1000 * TOLERANCE for name in MEMBERS)


def test_a_normal_film_never_reaches_the_detector(networks):
    trained = system(biased(networks, -4.0))
    answer = trained.answer(film())
    assert not answer.abnormal
    assert trained._detector.asked == []
    assert len(answer.pictures) == 1


def test_an_abnormal_film_without_confident_boxes_is_searched_again(networks):
    trained = system(biased(networks, 4.0), {0.15: [[10.0, 20.0, 60.0, 90.0, 0.2, 0.0]]})
    answer = trained.answer(film())
    assert answer.abnormal
    assert trained._detector.asked == [0.25, 0.15]
    assert trained._detector.shape == (270, 330, 3)
    assert answer.boxes.shape == (1, 6)
    assert len(answer.pictures) == 2


def test_an_abnormal_film_with_confident_boxes_is_searched_once(networks):
    trained = system(biased(networks, 4.0), {0.25: [[10.0, 20.0, 60.0, 90.0, 0.9, 0.0]]})
    assert len(trained.answer(film()).boxes) == 1
    assert trained._detector.asked == [0.25]


def biased(networks, logit: float):
    """The networks with ``logit`` as their answer, whatever they see."""

    class Always(torch.nn.Module):
        def forward(self, batch):
            return torch.full((len(batch), 1), logit)

    return dict.fromkeys(networks, Always())


def test_a_film_of_another_part_is_refused_even_beside_a_spine_word():
    with pytest.raises(ValueError, match="not a spine film"):
        read(film(description="lumbar spine and chest"))


def test_a_constant_film_is_black():
    assert to_grey(np.full((2, 2), 9, np.uint16), "MONOCHROME2").tolist() == [[0, 0], [0, 0]]


def test_negative_values_are_cut_before_scaling():
    assert to_grey(np.array([[-100, 0], [50, 100]], np.int16), "MONOCHROME2").tolist() == [[0, 0], [127, 255]]


def test_boxes_come_out_blue():
    picture = annotated(np.zeros((50, 50), np.uint8), np.array([[10, 20, 40, 45, 0.5, 0]], np.float32), {0: "x"})
    assert picture[45, 25].tolist() == [255, 0, 0]  # red as drawn; the encoder takes it for BGR


def test_pictures_are_png_in_base64():
    assert png(np.zeros((4, 4), np.uint8)).startswith("iVBORw0KGgo")
