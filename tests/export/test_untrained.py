"""Seeded weights: alive, unsaturated, on the right side for the phantoms, the same every time."""

from __future__ import annotations

import numpy as np
import torch

from radserve_export.networks import BuiltNetwork
from radserve_export.sample_images import noise, phantom, verification_images
from radserve_export.untrained import untrained_classifier
from tests.export.small_pipeline import MIRRORED, NETWORK, SIZE, THRESHOLD


def logits(built: BuiltNetwork) -> np.ndarray:
    with torch.no_grad():
        logit, _ = built.module(torch.from_numpy(verification_images(SIZE, 8)))
    return logit[:, 0].numpy()


def test_phantoms_fall_on_their_sides_with_room_to_spare(network: BuiltNetwork, mirrored: BuiltNetwork) -> None:
    for built in (network, mirrored):
        normal, abnormal = 1 / (1 + np.exp(-logits(built)[:2]))
        assert normal < THRESHOLD.value - 0.2
        assert abnormal > THRESHOLD.value + 0.2


def test_probabilities_are_spread_and_not_saturated(network: BuiltNetwork) -> None:
    found = logits(network)
    assert 0.5 < found.std() < 5
    assert abs(found).max() < 10


def test_every_batch_norm_lets_its_branch_through(network: BuiltNetwork) -> None:
    norms = [module for module in network.module.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    for norm in norms:
        assert norm.weight.min() >= 0.5
        assert not norm.training
        assert not torch.equal(norm.running_var, torch.ones_like(norm.running_var))


def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(network: BuiltNetwork) -> None:
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    again = untrained_classifier(NETWORK)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = zip(network.module.state_dict().values(), again.module.state_dict().values(), strict=True)
    assert all(torch.allclose(one, other, atol=1e-5) for one, other in pairs)


def test_it_never_passes_for_trained(network: BuiltNetwork) -> None:
    assert not network.trained
    assert network.checkpoint_sha256 is None


def test_mirroring_is_kept_from_the_spec(mirrored: BuiltNetwork) -> None:
    assert mirrored.spec is MIRRORED
    assert mirrored.module.flip_tta


def test_sample_images_differ_and_use_the_full_range() -> None:
    images = verification_images(SIZE, 10)
    assert images.shape == (10, 1, SIZE, SIZE)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 10
    assert (images.min(), images.max()) == (0, 255)


def test_a_phantom_fills_the_eight_bits() -> None:
    for abnormal in (False, True):
        assert (phantom(abnormal).min(), phantom(abnormal).max()) == (0, 255)
    assert not np.array_equal(phantom(False), phantom(True))


def test_noise_is_the_same_every_time() -> None:
    assert np.array_equal(noise(20, grain=3, seed=1), noise(20, grain=3, seed=1))
    assert not np.array_equal(noise(20, grain=3, seed=1), noise(20, grain=3, seed=2))
