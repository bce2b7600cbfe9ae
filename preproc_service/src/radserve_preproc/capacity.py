"""Pipeline specs in; out: which networks each Triton model keeps busy, and how many requests each network takes.

An ensemble and its parts share the same compute: ``spine`` and ``spine_classification`` both run the three CNNs. So
room is counted per network, not per name that is called.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from radserve_contract.spec import ModelKind, ModelSpec, PipelineSpec

OVERALL = "*"
"""The room that every request needs, whichever networks it runs."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """``limits``: requests in flight per network and ``OVERALL``. ``needs``: the rooms each callable model occupies."""

    limits: Mapping[str, int]
    needs: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for room, limit in self.limits.items():
            if limit < 1:
                raise ValueError(f"the limit of {room} is {limit}; nothing could ever run")
        if unknown := {room for needed in self.needs.values() for room in needed} - set(self.limits):
            raise ValueError(f"no limit for {sorted(unknown)}")


class Room:
    """What of a capacity is taken now."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._taken: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Requests that hold room, over all models."""
        return self._taken[OVERALL]

    @property
    def is_full(self) -> bool:
        """Whether no model has room, because all that may be in flight together is."""
        return self.taken >= self._capacity.limits[OVERALL]

    def fits(self, model: str) -> bool:
        """Whether one more request of ``model`` has room in each network it runs."""
        return all(self._taken[room] < self._capacity.limits[room] for room in self._capacity.needs[model])

    def take(self, model: str) -> None:
        """One more request of ``model``, whether or not it fits."""
        self._taken.update(self._capacity.needs[model])

    def give_back(self, model: str) -> None:
        """One request of ``model`` less."""
        self._taken.subtract(self._capacity.needs[model])

    def copy(self) -> Room:
        """The same room, to try things out in."""
        twin = Room(self._capacity)
        twin._taken = self._taken.copy()
        return twin


def capacity_of(pipelines: Iterable[PipelineSpec], *, batches: int, in_flight: int) -> Capacity:
    """Room for ``batches`` full batches per network, and ``in_flight`` requests over all of them.

    Triton's dynamic batcher can only join requests it has. With one batch of requests in flight it fills a batch
    whenever they come together, and what waits beyond that waits in the service, where a more urgent study still
    overtakes it. A network with several instances (several GPUs) wants as many batches.
    """
    models = {model.name: model for spec in pipelines for profile in spec.profiles for model in profile.models}
    networks = (model for model in models.values() if model.kind is ModelKind.NETWORK)
    limits = {model.name: batches * model.max_batch_size for model in networks}
    needs = {name: (*_networks_behind(model, models), OVERALL) for name, model in models.items()}
    return Capacity(limits={**limits, OVERALL: in_flight}, needs=needs)


def _networks_behind(model: ModelSpec, models: Mapping[str, ModelSpec]) -> tuple[str, ...]:
    """The networks that a call of ``model`` runs, through nested ensembles, each once."""
    if model.kind is ModelKind.NETWORK:
        return (model.name,)
    behind = (name for part in model.composes for name in _networks_behind(models[part], models))
    return tuple(dict.fromkeys(behind))
