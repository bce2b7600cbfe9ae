"""The abdominal tensor is MONAI's, bit by bit before normalisation; the service decides as the export's proof does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.transforms.intensity.array import NormalizeIntensity
from monai.transforms.spatial.array import Orientation, Resize, Spacing

from radserve_contract.pipelines.abdominal_trauma import FLIPS, NETWORK, NETWORK_128, SPEC
from radserve_export.smartct_verify import decisions
from radserve_preproc.fuse_grades import grade, judge, mean_logits, overall_risk
from radserve_preproc.prepare.area_pool import area_pooled, normalised, volume_tensor, with_mirror_images

# (slices, rows, columns): fewer slices than 64, more slices than columns, odd sizes, exact multiples, a single voxel
SHAPES = [
    (37, 131, 200),
    (63, 301, 512),
    (64, 128, 128),
    (65, 129, 127),
    (128, 256, 256),
    (20, 50, 300),
    (301, 97, 101),
    (1, 1, 1),
    (16, 64, 33),
]
SIZES = [NETWORK.inputs[0].dims[1:], NETWORK_128.inputs[0].dims[1:], (7, 5, 3)]


def scan(shape: tuple[int, int, int], *, whole: bool) -> npt.NDArray:
    """Hounsfield units with structure, air outside, some exact zeros; integers or with fractions."""
    random = np.random.default_rng(sum(shape))
    body = random.normal(40, 300, shape) + 200 * np.sin(np.arange(shape[-1]) / 9)
    body[:, : shape[1] // 5] = -1000
    values = np.clip(body, -1024, 3071)
    return values.round().astype(np.int16) if whole else values.astype(np.float32)


def monais_resize(volume: npt.NDArray, size: tuple[int, int, int]) -> torch.Tensor:
    """The trained system's chain up to Resize, from an array with an identity affine: ``(1, X, Y, Z)``."""
    channels_first = MetaTensor(torch.from_numpy(volume.astype(np.float32).transpose(2, 1, 0).copy())[None])
    oriented = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(channels_first)
    spaced = Spacing(pixdim=(1.0, 1.0, 1.0), mode="bilinear")(oriented)
    return Resize(spatial_size=size, mode="area")(spaced).as_tensor()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("whole", [True, False], ids=["int16", "float32"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_area_pooling_is_monais_bit_by_bit(shape, whole: bool, size) -> None:
    volume = scan(shape, whole=whole)
    assert np.array_equal(area_pooled(volume, size), monais_resize(volume, size)[0].numpy())


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 40)] * 3), st.tuples(*[st.integers(1, 24)] * 3), st.integers(0, 2**32 - 1))
def test_it_is_for_any_sizes(shape, size, seed: int) -> None:
    assume(size != (1, 1, 1))  # torch takes the plain mean there, in another order
    volume = np.random.default_rng(seed).normal(0, 1e3, shape).astype(np.float32)
    pooled = torch.nn.functional.adaptive_avg_pool3d(torch.from_numpy(volume.transpose(2, 1, 0).copy())[None], size)
    assert np.array_equal(area_pooled(volume, size), pooled[0].numpy())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_tensor_is_monais_within_1e_6(shape) -> None:
    volume = scan(shape, whole=True)
    resized = monais_resize(volume, NETWORK.inputs[0].dims[1:])
    expected = NormalizeIntensity(nonzero=True, channel_wise=True)(resized)
    assert np.abs(volume_tensor(volume, NETWORK.inputs[0])[0] - expected.numpy()).max() <= 1e-6


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 1.0])
def test_normalisation_over_non_zero_voxels_is_monais(kept: float) -> None:
    random = np.random.default_rng(8)
    volume = np.where(random.random((40, 41, 42)) < kept, random.normal(-300, 500, (40, 41, 42)), 0).astype(np.float32)
    expected = NormalizeIntensity(nonzero=True, channel_wise=True)(torch.from_numpy(volume.copy())[None])
    found = normalised(volume.copy())
    assert np.abs(found - expected[0].numpy()).max() <= 1e-6
    assert (found[volume == 0] == 0).all()


def test_mirror_images_are_torchs_flips_of_the_batch() -> None:
    tensor = np.random.default_rng(1).normal(size=(1, 1, 4, 5, 6)).astype(np.float32)
    wanted = [torch.from_numpy(tensor), *(torch.flip(torch.from_numpy(tensor), (dim,)) for dim in (2, 3, 4))]
    assert np.array_equal(with_mirror_images(tensor, FLIPS), torch.cat(wanted).numpy())


def logits() -> st.SearchStrategy[dict[str, npt.NDArray[np.float64]]]:
    # On a grid that misses the thresholds, no two alike in a head: no decision hangs on the last digit, in which two
    # ways to a probability may differ. What happens at a threshold itself: test_organ_grading.py.
    one = st.integers(-1200, 1200).map(lambda hundredths: hundredths / 100 + 0.0037)
    heads = {"bowel": 1, "extravasation": 1, "liver": 3, "kidney": 3, "spleen": 3}
    return st.fixed_dictionaries(
        {name: st.lists(one, min_size=n, max_size=n, unique=True).map(np.array) for name, n in heads.items()}
    )


@settings(deadline=None)
@given(logits())
def test_every_threshold_set_decides_as_the_proof_of_the_export_does(found) -> None:
    """Two hands wrote the rules; the probabilities are torch's."""
    for profile in SPEC.profiles:
        injuries = [judge(found, injury) for injury in profile.injuries]
        organs = [grade(found, organ) for organ in profile.organs]
        for finding in injuries:
            expected = torch.sigmoid(torch.tensor(found[finding.name][0], dtype=torch.float64))
            assert abs(finding.probability - float(expected)) < 1e-12
        for finding in organs:
            expected = torch.softmax(torch.tensor(found[finding.name]), 0)
            assert np.allclose([*finding.probabilities.values()], expected, atol=1e-12)
        severities = [[*finding.probabilities].index(finding.severity) for finding in organs]
        risk = overall_risk(injuries, organs, profile.risk)
        decided = (*(finding.positive for finding in injuries), *severities, risk)
        assert decisions(profile, {name: values[None] for name, values in found.items()}) == [decided]


def test_the_mean_is_of_logits_not_of_probabilities() -> None:
    outputs = {"liver": np.array([[0, 0, 0], [2, 0, 4]], np.float32)}
    assert mean_logits(outputs, ["liver"])["liver"].tolist() == [1, 0, 2]
