"""The facts hold together: whatever a spec names exists in it, and decisions fall on the right side."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections import Counter

import numpy as np
import pytest

from radserve_contract.ct import OrganGradingProfile, SliceLabelsProfile, VolumeLabelsProfile
from radserve_contract.pipelines import PIPELINES, pipeline
from radserve_contract.spec import (
    Accepts,
    Comparison,
    DType,
    FilmProfile,
    ModelKind,
    PipelineSpec,
    Profile,
    TensorSpec,
    Threshold,
)
from radserve_contract.volumes import Handling, VolumeFault
from tests.served_repository import ROOT

PROFILES = [pytest.param(profile, id=f"{spec.name}-{profile.name}") for spec in PIPELINES for profile in spec.profiles]
FILMS = [param for param in PROFILES if isinstance(param.values[0], FilmProfile)]
SPECS = [pytest.param(spec, id=spec.name) for spec in PIPELINES]
BELOW, ABOVE = math.nextafter(0.449, 0), math.nextafter(0.449, 1)


@pytest.mark.parametrize(
    ("comparison", "score", "positive"),
    [
        (Comparison.GREATER, BELOW, False),
        (Comparison.GREATER, 0.449, False),
        (Comparison.GREATER, ABOVE, True),
        (Comparison.GREATER_EQUAL, BELOW, False),
        (Comparison.GREATER_EQUAL, 0.449, True),
        (Comparison.GREATER_EQUAL, ABOVE, True),
    ],
)
def test_a_score_exactly_on_the_threshold_is_decided_by_the_comparison(comparison, score: float, positive: bool):
    assert Threshold(0.449, comparison).is_met(score) is positive


@pytest.mark.parametrize("comparison", Comparison)
def test_nan_is_never_positive(comparison: Comparison):
    assert not Threshold(0.449, comparison).is_met(math.nan)


@pytest.mark.parametrize("dtype", DType)
def test_a_wire_type_has_the_numpy_type_of_the_same_bytes(dtype: DType):
    kind, bits = {"U": ("u", 8), "I": ("i", 32), "F": ("f", 32)}[dtype[0]]
    assert (dtype.numpy.kind, dtype.numpy.itemsize * 8) == (kind, bits)
    assert str(np.dtype(dtype.numpy)).endswith(str(bits))


def test_a_tensor_names_each_of_its_axes():
    with pytest.raises(ValueError, match="tensor image: 2 dims but 1 axes"):
        TensorSpec("image", DType.UINT8, (4, 4), ("H",))


def test_a_pipeline_is_found_by_its_name_and_no_other():
    assert pipeline("spine").name == "spine"
    with pytest.raises(KeyError):
        pipeline("Spine")


def test_no_two_pipelines_share_a_name_or_a_model():
    names = Counter(spec.name for spec in PIPELINES)
    models = [{model.name for profile in spec.profiles for model in profile.models} for spec in PIPELINES]

    assert max(names.values()) == 1
    assert sum(map(len, models)) == len(set().union(*models))


@pytest.mark.parametrize("spec", SPECS)
def test_a_profile_is_found_by_its_name_and_by_default(spec: PipelineSpec):
    assert spec.profile() is spec.profile(None) is spec.profile(spec.default_profile)
    assert [spec.profile(item.name) for item in spec.profiles] == list(spec.profiles)
    with pytest.raises(KeyError):
        spec.profile("no such profile")


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_cannot_be_changed(spec: PipelineSpec):
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("spec", SPECS)
def test_a_model_that_two_profiles_share_is_the_same_in_both(spec: PipelineSpec):
    models: dict[str, object] = {}
    for model in (model for profile in spec.profiles for model in profile.models):
        assert models.setdefault(model.name, model) == model


@pytest.mark.parametrize("spec", SPECS)
def test_a_published_figure_names_a_profile_or_none_that_reproduces_it(spec: PipelineSpec):
    for figure in spec.published:
        assert figure.profile in ("", *(profile.name for profile in spec.profiles))
        assert figure.profile != "deployed", "nothing was ever measured with what is deployed"


@pytest.mark.parametrize("spec", SPECS)
def test_no_body_part_word_is_both_wanted_and_unwanted(spec: PipelineSpec):
    words = spec.gate.wanted | spec.gate.unwanted

    assert not spec.gate.wanted & spec.gate.unwanted
    assert all(word.isalpha() and word.isupper() for word in words), "they are compared whole, in capitals"


@pytest.mark.parametrize("spec", SPECS)
def test_tolerances_are_small_and_not_zero(spec: PipelineSpec):
    tolerance = spec.tolerance
    assert 0 < tolerance.probability <= 1e-3
    assert 0 < tolerance.logit <= 1e-2
    kinds = {type(profile) for profile in spec.profiles}
    assert (0 < tolerance.box_px <= 1) == (kinds == {FilmProfile})
    assert (0 < tolerance.cam <= 1e-3) == (kinds == {OrganGradingProfile})


@pytest.mark.parametrize("spec", SPECS)
def test_all_profiles_of_a_pipeline_are_of_one_kind(spec: PipelineSpec):
    assert len({type(profile) for profile in spec.profiles}) == 1


@pytest.mark.parametrize("spec", SPECS)
def test_only_pipelines_of_ct_have_rules_for_volumes_and_those_name_every_fault_once(spec: PipelineSpec):
    reads_ct = bool({Accepts.CT_SLICE, Accepts.CT_SERIES, Accepts.NIFTI} & set(spec.accepts))
    assert (spec.volumes is not None) == reads_ct
    if spec.volumes is not None:
        named = [fault for fault, _ in spec.volumes.handling]
        assert len(named) == len(set(named))
        assert 1 <= spec.volumes.min_slices <= spec.volumes.max_slices
        assert spec.volumes.choice.min_images <= spec.volumes.min_slices


def test_a_fault_that_is_not_named_is_refused():
    rules = pipeline("head_ct").volumes
    assert rules is not None
    assert rules.handle(VolumeFault.NOT_AXIAL) is Handling.REFUSE
    assert rules.handle(VolumeFault.GANTRY_TILT) is Handling.CORRECT


@pytest.mark.parametrize("profile", PROFILES)
def test_the_entry_models_are_of_the_profile(profile: Profile):
    assert profile.entry_models
    assert set(profile.entry_models) <= {model.name for model in profile.models}


@pytest.mark.parametrize("profile", PROFILES)
def test_outcomes_are_named_once_and_every_thing_can_be_judged_in_two_ways(profile: Profile):
    outcomes = profile.outcomes
    assert len(outcomes) == len(set(outcomes))
    assert min(Counter(finding for finding, _ in outcomes).values()) >= 2


@pytest.mark.parametrize("profile", [param for param in PROFILES if hasattr(param.values[0], "labels")])
def test_a_network_of_labels_answers_one_probability_each(profile: SliceLabelsProfile | VolumeLabelsProfile):
    outputs = {tensor.name: tensor for tensor in profile.model(profile.network).outputs}
    assert outputs[profile.output].dims == (len(profile.labels),)
    assert len({label.name for label in profile.labels}) == len(profile.labels)


@pytest.mark.parametrize("profile", pipeline("abdominal_trauma").profiles, ids=lambda profile: profile.name)
def test_the_abdominal_network_answers_every_head_and_a_map_of_every_class(profile: OrganGradingProfile):
    network = profile.model(profile.network)
    outputs = {tensor.name: tensor.dims for tensor in network.outputs}
    assert [outputs[injury.output] for injury in profile.injuries] == [(1,), (1,)]
    assert [outputs[organ.output] for organ in profile.organs] == [(len(organ.grades),) for organ in profile.organs]
    assert outputs[profile.cams][0] == len(profile.cam_classes)
    assert 1 + len(profile.flips) <= network.max_batch_size, "a study and its mirror images are one request"
    grades = {f"{organ.name}:{grade.severity}" for organ in profile.organs for grade in organ.grades}
    assert set(profile.cam_classes) == {injury.label.name for injury in profile.injuries} | grades


def test_the_four_threshold_sets_are_those_of_the_trained_system():
    def thresholds(name: str) -> tuple[object, ...]:
        profile = pipeline("abdominal_trauma").profile(name)
        assert isinstance(profile, OrganGradingProfile)
        injuries = [injury.label.threshold.value for injury in profile.injuries]
        organs = {organ.name: [grade.threshold.value for grade in organ.grades] for organ in profile.organs}
        return (injuries, organs["kidney"], organs["liver"], organs["spleen"], bool(profile.flips))

    third = [0.33, 0.33, 0.33]
    assert thresholds("deployed") == ([0.45, 0.78], [0.06, 0.75, 0.67], [0.15, 0.55, 0.75], [0.12, 0.50, 0.55], True)
    assert thresholds("plain") == ([0.5, 0.5], third, third, third, False)
    assert thresholds("evaluated") == ([0.6, 0.6], [0, 0.45, 0.66], [0, 0.45, 0.66], [0, 0.50, 0.66], False)
    assert thresholds("validated") == (
        *([0.45, 0.84], [0.06, 0.79, 0.67]),
        *([0.13, 0.60, 0.75], [0.14, 0.57, 0.56], False),
    )
    for profile in pipeline("abdominal_trauma").profiles:
        slices = 128 if profile.name.endswith("_128") else 64
        assert profile.inputs[0].tensor.dims == (1, 128, 128, slices)


@pytest.mark.parametrize("profile", FILMS)
def test_fusion_weights_are_positive_and_sum_to_one(profile: FilmProfile):
    weights = [member.weight for member in profile.fusion.members]

    assert all(weight > 0 for weight in weights)
    assert math.isclose(math.fsum(weights), 1, abs_tol=1e-12)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_model_is_found_by_its_name_and_an_input_too(profile: Profile):
    assert [profile.model(model.name) for model in profile.models] == list(profile.models)
    assert [profile.input(item.tensor.name) for item in profile.inputs] == list(profile.inputs)
    with pytest.raises(KeyError):
        profile.model("no such model")
    with pytest.raises(KeyError):
        profile.input("no such input")


@pytest.mark.parametrize("profile", PROFILES)
def test_ensembles_call_models_of_their_profile_that_come_before_them(profile: Profile):
    known: set[str] = set()
    for model in profile.models:
        assert set(model.composes) <= known
        assert bool(model.composes) == (model.kind is ModelKind.ENSEMBLE)
        assert bool(model.architecture) == (model.kind is ModelKind.NETWORK)
        known.add(model.name)


@pytest.mark.parametrize("profile", FILMS)
def test_every_model_but_the_entry_points_is_called_by_an_ensemble(profile: FilmProfile):
    called = {name for model in profile.models for name in model.composes}

    assert {model.name for model in profile.models} - called == {profile.combined}


@pytest.mark.parametrize("profile", FILMS)
def test_the_fusions_members_are_answered_by_the_classification(profile: FilmProfile):
    classification = profile.model(profile.classification)
    answers = {tensor.name for tensor in classification.outputs}

    assert profile.fusion.output in answers
    for member in profile.fusion.members:
        assert member.output in answers
        assert member.model in classification.composes


@pytest.mark.parametrize("profile", FILMS)
def test_the_combined_model_answers_all_that_its_parts_answer(profile: FilmProfile):
    combined, classification = profile.model(profile.combined), profile.model(profile.classification)
    detector = profile.model(profile.detection.model)

    assert combined.outputs == classification.outputs + detector.outputs
    assert [tensor.name for tensor in combined.inputs] == [item.tensor.name for item in profile.inputs]


@pytest.mark.parametrize("profile", FILMS)
def test_the_detector_has_the_tensors_that_detection_names(profile: FilmProfile):
    detection = profile.detection
    outputs = {tensor.name: tensor for tensor in profile.model(detection.model).outputs}

    assert {detection.boxes, detection.scores, detection.classes, detection.count} == set(outputs)
    assert outputs[detection.boxes].dims == (detection.max_boxes, 4)
    assert outputs[detection.scores].dims == outputs[detection.classes].dims == (detection.max_boxes,)
    assert profile.input(detection.input).tensor.dims == profile.model(detection.model).inputs[0].dims
    assert 0 < detection.floor <= detection.fallback_confidence < detection.confidence < 1


@pytest.mark.parametrize("profile", PROFILES)
def test_all_models_of_an_ensemble_take_its_largest_batch(profile: Profile):
    for model in profile.models:
        assert all(profile.model(name).max_batch_size >= model.max_batch_size for name in model.composes)


def test_the_spine_profiles_are_those_of_the_trained_system():
    deployed, published = pipeline("spine").profiles

    assert pipeline("spine").default_profile == deployed.name == "deployed"
    for profile, size, flip, comparison in ((deployed, 224, False, ">"), (published, 384, True, ">=")):
        members = {member.output: member.weight for member in profile.fusion.members}
        assert members == {"densenet121": 0.42, "resnet50": 0.26, "efficientnetv2_s": 0.32}
        assert profile.fusion.threshold == Threshold(0.449, Comparison(comparison))
        networks = [profile.model(member.model) for member in profile.fusion.members]
        assert [(network.inputs[0].dims, network.flip_tta) for network in networks] == [((1, size, size), flip)] * 3


def test_the_contract_imports_nothing_but_numpy_and_the_standard_library():
    allowed = {"numpy", "radserve_contract", "__future__", "dataclasses", "enum"}
    for path in (ROOT / "contract" / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, path
