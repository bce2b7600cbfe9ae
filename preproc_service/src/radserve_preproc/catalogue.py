"""A profile in, what Triton has loaded for it out: versions, digests, trained or not, class names.

Publishing writes these as ``radserve_*`` parameters into each config.pbtxt, so they come from the server that answers.
They are remembered for ``refresh_s``, and forgotten at once when the connection to Triton was lost: behind the next one
may be another release. An answer is only given when what was loaded before the networks ran is still loaded after it
(``confirm``), so no answer names a digest that did not produce it. That holds for one Triton per connection, as
``pick_first`` has it; with ``round_robin`` all addresses must serve one release, which an immutable repository per
release gives (docs/settings.md).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from radserve_contract.findings import ModelIdentity
from radserve_contract.spec import ModelKind, ModelSpec, Profile
from radserve_preproc.errors import ModelNotReady, ProfileNotLoaded, Unavailable
from radserve_preproc.triton import ServedModel, Triton

RETRY_S = 1.0
"""How long it is believed that a profile is not complete."""


@dataclass(frozen=True, slots=True)
class ModelState:
    """One model of a profile as Triton has it. ``identity`` is None for ensembles and for what is not loaded.

    ``fault`` says why the model cannot be used; empty when it can.
    """

    spec: ModelSpec
    present: bool
    fault: str
    version: str = ""
    identity: ModelIdentity | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """All models of a profile as they were at one moment (``at``: monotonic seconds) over one connection."""

    profile: Profile
    models: Mapping[str, ModelState]
    connection: int
    at: float

    @property
    def present(self) -> bool:
        """Whether the served repository has the profile: one of the models that the service calls for it."""
        return any(self.models[name].present for name in self.profile.entry_models)

    @property
    def faults(self) -> list[str]:
        """Why the profile cannot be used; empty when it can."""
        return [state.fault for state in self.models.values() if state.fault]

    def identities(self, *names: str) -> tuple[ModelIdentity, ...]:
        """Who answers when these models are called: the networks and fusions behind them, each once."""
        behind = dict.fromkeys(leaf for name in names for leaf in self._leaves(name))
        found = (self.models[name].identity for name in behind)
        return tuple(identity for identity in found if identity is not None)

    def all_identities(self) -> tuple[ModelIdentity, ...]:
        """Everybody who can answer."""
        return self.identities(*self.models)

    def _leaves(self, name: str) -> list[str]:
        composes = self.models[name].spec.composes
        return [leaf for part in composes for leaf in self._leaves(part)] if composes else [name]


class Catalogue:
    """What Triton has loaded, remembered for a while. One event loop."""

    def __init__(self, triton: Triton, *, refresh_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._triton = triton
        self._refresh_s = refresh_s
        self._clock = clock
        self._known: dict[Profile, Loaded] = {}
        self._asking: dict[Profile, asyncio.Task[Loaded]] = {}

    async def look(self, profile: Profile) -> Loaded:
        """The profile's models, asked of Triton when what is known is too old; once for all who want to know.

        Raises
        ------
        Unavailable
            Triton does not answer.
        """
        known = self._known.get(profile)
        if known is not None and not self._is_stale(known):
            return known
        if profile not in self._asking:
            asking = self._asking[profile] = asyncio.create_task(self._ask(profile))
            asking.add_done_callback(partial(self._asked, profile))
        return await asyncio.shield(self._asking[profile])

    async def require(self, profile: Profile) -> Loaded:
        """As ``look``, but only a profile that can answer.

        Raises
        ------
        ProfileNotLoaded
            The served repository has not got this profile.
        ModelNotReady
            It has, but one of its models cannot be used.
        Unavailable
            Triton does not answer.
        """
        loaded = await self.look(profile)
        if not loaded.present:
            raise ProfileNotLoaded(
                f"the models of profile {profile.name} are not in the served repository; export them"
                f" (radserve-export PIPELINE --profile {profile.name}) or ask for another profile",
                profile=profile.name,
            )
        if loaded.faults:
            raise ModelNotReady("; ".join(loaded.faults), profile=profile.name)
        return loaded

    async def confirm(self, before: Loaded) -> None:
        """Make sure that what was loaded when a study began is what answered it.

        Raises
        ------
        Unavailable
            Triton came back with other models in the meantime.
        """
        if self._triton.connection == before.connection:
            return
        after = await self.require(before.profile)
        if after.models != before.models:
            raise Unavailable("Triton was replaced by one with other models during this study; send the study again")

    def known(self) -> list[ModelIdentity]:
        """Who answers over this connection, as seen last, without asking."""
        seen = [loaded for loaded in self._known.values() if loaded.connection == self._triton.connection]
        latest = {
            identity.name: identity
            for loaded in sorted(seen, key=lambda loaded: loaded.at)
            for identity in loaded.all_identities()
        }
        return list(latest.values())

    def _is_stale(self, loaded: Loaded) -> bool:
        lasts_s = RETRY_S if loaded.faults else self._refresh_s
        return loaded.connection != self._triton.connection or self._clock() - loaded.at >= min(
            lasts_s, self._refresh_s
        )

    def _asked(self, profile: Profile, asking: asyncio.Task[Loaded]) -> None:
        """Remember what was answered, if anything was."""
        del self._asking[profile]
        if not asking.cancelled() and asking.exception() is None:
            self._known[profile] = asking.result()

    async def _ask(self, profile: Profile) -> Loaded:
        connection, now = self._triton.connection, self._clock()
        states = await asyncio.gather(*(self._state(model) for model in profile.models))
        models = {state.spec.name: state for state in states}
        return Loaded(profile, models, connection, now)

    async def _state(self, model: ModelSpec) -> ModelState:
        try:
            served = await self._triton.config(model.name)
            if served is None:
                return ModelState(model, present=False, fault=f"{model.name} is not in the served repository")
            if not await self._triton.ready(model.name):
                return ModelState(model, present=True, fault=f"{model.name} is not ready")
        except ModelNotReady as error:
            return ModelState(model, present=True, fault=error.message)
        return _published(model, served)


def _published(model: ModelSpec, served: ServedModel) -> ModelState:
    """The state of a model that is ready, from the parameters that publishing gave it."""
    if model.kind is ModelKind.ENSEMBLE:
        return ModelState(model, present=True, fault="", version=served.version)
    digest = _parameter(served, "digest")
    trained = {"true": True, "false": False}.get(_parameter(served, "trained"))
    classes = _classes(_parameter(served, "classes"))
    if not digest or classes is None or (model.kind is ModelKind.NETWORK and trained is None):
        fault = f"{model.name} version {served.version} does not say what it is; publish it with radserve-export"
        return ModelState(model, present=True, fault=fault, version=served.version)
    architecture = _parameter(served, "architecture")
    identity = ModelIdentity(model.name, served.version, digest, trained, architecture)
    return ModelState(model, present=True, fault="", version=served.version, identity=identity, classes=classes)


def _parameter(served: ServedModel, what: str) -> str:
    return served.parameters.get(f"radserve_{what}_{served.version}", "")


def _classes(text: str) -> tuple[str, ...] | None:
    """The detector's class names, by index; empty for other models; None when the text is no JSON list of names."""
    try:
        names = json.loads(text or "[]")
    except ValueError:
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
