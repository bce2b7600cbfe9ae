"""Triton addresses in, the models that they serve for a profile out; all of them have to serve the same.

Light: no decoders are imported, so that the process of the command line can ask.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

from radserve_client.score.errors import ServerRefuses, WrongUse
from radserve_client.score.way import Ask, Gone, Served
from radserve_contract.ct import SegmentationProfile
from radserve_contract.findings import ModelIdentity
from radserve_contract.pipelines import PIPELINES
from radserve_contract.spec import PipelineSpec, Profile
from radserve_preproc.catalogue import Catalogue
from radserve_preproc.errors import ProfileNotLoaded, Unavailable
from radserve_preproc.settings import Balancing
from radserve_preproc.triton_grpc import TritonGrpc


def checked_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses, each once.

    Raises
    ------
    WrongUse
        There is none, or one is no ``host:port``.
    """
    if not addresses:
        raise WrongUse("no Triton address; name host:port of its gRPC endpoint (usually port 8001)")
    for address in addresses:
        if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}", address):
            raise WrongUse(f"{address!r} is no Triton address; wanted host:port of its gRPC endpoint, without http://")
    return tuple(dict.fromkeys(addresses))


def profile_of(ask: Ask) -> tuple[PipelineSpec, Profile]:
    """The spec and the profile that are asked for.

    Raises
    ------
    WrongUse
        There is none of that name, or it marks nothing that a mask could show.
    """
    known = {spec.name: spec for spec in PIPELINES}
    if ask.pipeline not in known:
        raise WrongUse(f"no pipeline {ask.pipeline}; there are {', '.join(known)}")
    spec = known[ask.pipeline]
    try:
        profile = spec.profile(ask.profile)
    except KeyError:
        names = ", ".join(profile.name for profile in spec.profiles)
        raise WrongUse(f"{spec.name} has no profile {ask.profile}; there are {names}") from None
    if ask.mask and not isinstance(profile, SegmentationProfile):
        raise WrongUse(f"--mask: {spec.name} marks no pixels, so it has no mask")
    return spec, profile


async def models_at(addresses: Sequence[str], ask: Ask) -> Served:
    """What answers now. An address that is away is left out.

    Raises
    ------
    Gone
        Nobody answers, or the models of nobody are ready.
    ServerRefuses
        Two of them serve other models, or nobody who answers has the profile.
    """
    spec, profile = profile_of(ask)
    answers = await asyncio.gather(*(_ask(address, profile) for address in addresses))
    found = {
        address: answer for address, answer in zip(addresses, answers, strict=True) if not isinstance(answer, Exception)
    }
    if not found:
        raise _nobody([answer for answer in answers if isinstance(answer, Unavailable)])
    (first, models), *others = found.items()
    for address, theirs in others:
        if set(theirs) != set(models):
            raise ServerRefuses(_different(first, models, address, theirs))
    return Served(spec.name, profile.name, models)


async def _ask(address: str, profile: Profile) -> tuple[ModelIdentity, ...] | Unavailable:
    triton = TritonGrpc(address, Balancing.PICK_FIRST)
    try:
        return (await Catalogue(triton, refresh_s=1.0).require(profile)).all_identities()
    except Unavailable as error:
        return error
    finally:
        await triton.close()


def _nobody(faults: Sequence[Unavailable]) -> Gone | ServerRefuses:
    """Why nobody can answer: a server that is there but lacks the profile is not waited for."""
    if all(isinstance(fault, ProfileNotLoaded) for fault in faults):
        return ServerRefuses(faults[0].message)
    fault = next(fault for fault in faults if not isinstance(fault, ProfileNotLoaded))
    return Gone(fault.message, code=fault.code, http_status=fault.http_status)


def _different(
    address: str, models: Sequence[ModelIdentity], other_address: str, theirs: Sequence[ModelIdentity]
) -> str:
    mine, other = ({model.name: model for model in several} for several in (models, theirs))
    name = next(name for name in sorted({*mine, *other}) if mine.get(name) != other.get(name))
    return (
        f"the Tritons serve different models: {name} is {_said(mine.get(name))} at {address} and"
        f" {_said(other.get(name))} at {other_address}. One run is scored by one release; leave one of them out"
    )


def _said(model: ModelIdentity | None) -> str:
    return f"version {model.version} ({model.digest[:12]})" if model else "not loaded"
