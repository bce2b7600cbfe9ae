"""An ensemble's config and the models it calls in, a sentence for each tensor that flows wrong out.

Names alone do not show a swap of two probabilities, so the flow is followed: what a tensor of the ensemble carries is
known from its spec (type, dims, axes), and who makes it from the fusion's members.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from radserve_contract.spec import ModelKind, ModelSpec, TensorSpec

BY_POSITION = frozenset({"pytorch"})


def ensemble_problems(
    config: Any, model: ModelSpec, models: Sequence[ModelSpec], backends: Mapping[str, str]
) -> Iterator[str]:
    """Every disagreement between an ensemble's steps and its spec; ``backends`` names each called model's backend."""
    if config.platform != "ensemble" or config.backend:
        yield f"platform is {config.platform or config.backend!r}, wanted 'ensemble'"
        return
    for field in ("model_warmup", "instance_group", "parameters"):
        if len(getattr(config, field)):
            yield f"{field} does nothing in an ensemble, or keeps it from loading"
    if config.WhichOneof("scheduling_choice") != "ensemble_scheduling":
        yield "ensemble_scheduling is missing"
        return
    called = [step.model_name for step in config.ensemble_scheduling.step]
    if called != list(model.composes):
        yield f"steps call {called}, wanted {list(model.composes)}"
        return
    yield from _flow_problems(config.ensemble_scheduling.step, model, {item.name: item for item in models}, backends)


def _flow_problems(
    steps: Any, model: ModelSpec, models: Mapping[str, ModelSpec], backends: Mapping[str, str]
) -> Iterator[str]:
    """Follow each tensor: made once, of the right kind, by the right model; nothing unused, nothing left over."""
    made: dict[str, tuple[str, TensorSpec]] = {tensor.name: ("request", tensor) for tensor in model.inputs}
    for step in steps:
        spec = models[step.model_name]
        if step.model_version != 1:
            yield f"step {spec.name} has model_version {step.model_version}, wanted 1"
        outputs = _by_config_name(spec.outputs, "OUTPUT", backends[spec.name])
        for name, tensor in step.output_map.items():
            if name not in outputs:
                yield f"step {spec.name} maps output {name}, which it does not have"
            elif tensor in made:
                yield f"step {spec.name} makes {tensor}, which {made[tensor][0]} makes already"
            else:
                made[tensor] = (spec.name, outputs[name])
        yield from _output_name_problems(step, spec, outputs)
    for step in steps:
        spec = models[step.model_name]
        inputs = _by_config_name(spec.inputs, "INPUT", backends[spec.name])
        yield from _input_problems(step, spec, inputs, made)
    yield from _answer_problems(model, made)
    used = {tensor for step in steps for tensor in step.input_map.values()}
    yield from (f"input {tensor.name} goes nowhere" for tensor in model.inputs if tensor.name not in used)


def _input_problems(
    step: Any, spec: ModelSpec, inputs: Mapping[str, TensorSpec], made: Mapping[str, tuple[str, TensorSpec]]
) -> Iterator[str]:
    if set(step.input_map) != set(inputs):
        yield f"step {spec.name} maps inputs {sorted(step.input_map)}, wanted {sorted(inputs)}"
        return
    for name, tensor in step.input_map.items():
        if tensor not in made:
            yield f"step {spec.name} reads {tensor}, which nothing makes"
            continue
        maker, source = made[tensor]
        if not _alike(source, inputs[name]):
            yield f"step {spec.name} reads {name} from {tensor}, which is {maker}'s {source.name}"
        if spec.kind is ModelKind.FUSION and tensor != name:
            yield f"step {spec.name} reads its {name} from {tensor}: the weights would be swapped"


def _output_name_problems(step: Any, spec: ModelSpec, outputs: Mapping[str, TensorSpec]) -> Iterator[str]:
    """What a network's one mapped output is called says whose it is: ``<prefix>_<name>`` makes ``<name>``."""
    for name, tensor in step.output_map.items():
        one_of_many = len(step.output_map) == 1 and spec.kind is ModelKind.NETWORK
        if one_of_many and not spec.name.endswith(f"_{tensor}"):
            yield f"step {spec.name} calls its answer {tensor}: it would be taken for another model's"
        if not one_of_many and name in outputs and outputs[name].name != tensor:
            yield f"step {spec.name} calls its {outputs[name].name} {tensor}"


def _answer_problems(model: ModelSpec, made: Mapping[str, tuple[str, TensorSpec]]) -> Iterator[str]:
    for tensor in model.outputs:
        maker, source = made.get(tensor.name, ("nothing", None))
        if source is None:
            yield f"output {tensor.name} is made by nothing"
        elif maker == "request" or not _alike(source, tensor):
            yield f"output {tensor.name} is {maker}'s {source.name}, which is something else"


def _by_config_name(tensors: Sequence[TensorSpec], role: str, backend: str) -> dict[str, TensorSpec]:
    if backend in BY_POSITION:
        return {f"{role}__{index}": tensor for index, tensor in enumerate(tensors)}
    return {tensor.name: tensor for tensor in tensors}


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    """Same type, dims and meaning of the axes; the name may differ."""
    return (one.dtype, one.dims, one.axes) == (other.dtype, other.dims, other.axes)
