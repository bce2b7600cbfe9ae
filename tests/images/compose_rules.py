"""Compose files in, what is wrong with them out: one short rule each, an empty list when all is well."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import yaml

from radserve_preproc.settings import Settings
from tests.images.context import ROOT, setting_names
from tests.images.dockerfile import Dockerfile, parse

RESET = object()
"""What ``!reset`` in an override stands for: the key is taken out."""


class _ComposeLoader(yaml.SafeLoader):
    """Safe YAML with Compose's ``!reset``."""


_ComposeLoader.add_constructor("!reset", lambda loader, node: RESET)


def read(text: str) -> dict[str, Any]:
    """A compose file as nested values."""
    return yaml.load(text, Loader=_ComposeLoader)


def laid_over(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``override`` laid over it: mappings merge, ``!reset`` removes. KeyError for an unknown service."""
    merged = copy.deepcopy(base)
    for name, changes in override["services"].items():
        service = merged["services"][name]
        for key, value in changes.items():
            if value is RESET:
                del service[key]
            else:
                service[key] = value
    return merged


def image_of(service: dict[str, Any]) -> Dockerfile:
    """The Dockerfile a service is built from."""
    build = service["build"]
    return parse((ROOT / build["context"] / build["dockerfile"]).read_text(encoding="utf-8"))


def problems(compose: dict[str, Any], flags: dict[str, str], settings: Settings) -> list[str]:
    """Everything the rules have against a compose file.

    ``flags`` are those of triton_server/entrypoint.sh, ``settings`` the service's defaults.
    """
    found = [problem for name in compose["services"] for problem in built(name, compose["services"][name])]
    if found:
        return found  # the other rules read the Dockerfiles
    found = [problem for name in compose["services"] for problem in hardened(name, compose["services"][name])]
    for rule in (published, reachable, waited_for, mounted):
        found += rule(compose, flags)
    found += environment(compose, flags, setting_names(type(settings)))
    return found + list(drained(compose, settings))


def built(name: str, service: dict[str, Any]) -> Iterator[str]:
    """The Dockerfile it is built from is there; what is not ours is one release, and asked for by its profile."""
    if "build" not in service:
        if not re.search(r":v?\d+\.\d+\.\d+$", service["image"]):
            yield f"{name}: {service['image']} names no release"
        if not service.get("profiles"):
            yield f"{name}: starts without being asked for"
    elif not (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file():
        yield f"{name}: {service['build']['dockerfile']} does not exist"


def hardened(name: str, service: dict[str, Any]) -> Iterator[str]:
    """Read-only, no capabilities, a tmpfs, a health check, time to stop; neither root nor in the host's namespaces."""
    wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    yield from (f"{name}: {key} is {service.get(key)}" for key, value in wanted.items() if service.get(key) != value)
    if not any(entry.split(":")[0] == "/tmp" for entry in service.get("tmpfs", [])):
        yield f"{name}: no tmpfs at /tmp"
    yield from (f"{name}: {key} missing" for key in ("healthcheck", "stop_grace_period") if key not in service)
    yield from (
        f"{name}: {key} is set" for key in ("user", "privileged", "network_mode", "pid", "ipc") if key in service
    )


def published(compose: dict[str, Any], flags: dict[str, str]) -> Iterator[str]:
    """Never Triton, on this machine only; the service on the port its image exposes."""
    for name, service in compose["services"].items():
        for port in service.get("ports", []):
            address, _, inside = _filled(port).rsplit(":", 2)
            if name == "triton" or address != "127.0.0.1":
                yield f"{name}: publishes {port}"
            elif "build" in service and inside != (exposed := image_of(service).final.last("EXPOSE").value):
                yield f"{name}: publishes {inside}, its image exposes {exposed}"


def reachable(compose: dict[str, Any], flags: dict[str, str]) -> Iterator[str]:
    """Triton sits on internal networks only, and every network named is declared."""
    networks = compose["networks"]
    for name, service in compose["services"].items():
        yield from (f"{name}: network {key} is not declared" for key in service["networks"] if key not in networks)
    yield from (f"{name}: can reach Triton" for name in compose["services"] if _meets_triton(compose, name))
    for key in compose["services"]["triton"]["networks"]:
        if not (networks.get(key) or {}).get("internal"):
            yield f"triton: network {key} is not internal"


def _meets_triton(compose: dict[str, Any], name: str) -> bool:
    """Whether a service shares a network with Triton although it has no business with it."""
    shared = set(compose["services"][name]["networks"]) & set(compose["services"]["triton"]["networks"])
    return bool(shared) and name not in {"triton", "service", "prometheus"}


def waited_for(compose: dict[str, Any], flags: dict[str, str]) -> Iterator[str]:
    """The service starts when Triton is healthy, and Triton is given the time its own flag asks for."""
    service, triton = compose["services"]["service"], compose["services"]["triton"]
    if service.get("depends_on", {}).get("triton", {}).get("condition") != "service_healthy":
        yield "service: does not wait for a healthy triton"
    if seconds(triton["stop_grace_period"]) <= int(flags["--exit-timeout-secs"]):
        yield "triton: stop_grace_period is not longer than --exit-timeout-secs"
    if f":{flags['--http-port']}/v2/health/ready" not in triton["healthcheck"]["test"][-1]:
        yield f"triton: its health check does not ask port {flags['--http-port']}"


def mounted(compose: dict[str, Any], flags: dict[str, str]) -> Iterator[str]:
    """The served repository is mounted read-only where the entry point looks, from where ``make export`` puts it."""
    (volume,) = compose["services"]["triton"]["volumes"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    # spine's has no suffix: $(OF_PIPELINE) is empty for it
    written = re.findall(r"^\s*REPOSITORY\s*[:?]?=\s*([^\s$]+)(?:\$\(OF_PIPELINE\))?$", makefile, re.MULTILINE)
    if _filled(volume["source"]).removeprefix("./") not in written:
        yield f"triton: mounts {volume['source']}, make export writes to {written}"
    if volume["target"] != flags["--model-repository"] or not volume["read_only"]:
        yield f"triton: mounts {volume['target']}, wanted {flags['--model-repository']}, read-only"


def environment(compose: dict[str, Any], flags: dict[str, str], settings: set[str]) -> Iterator[str]:
    """Every RADSERVE_ variable is a setting of the service, and Triton's address is where Triton listens."""
    service = compose["services"]["service"]
    variables = image_of(service).final.environment | service["environment"]
    for name in variables:
        if name.startswith("RADSERVE_") and name not in settings:
            yield f"service: {name} is no setting"
    if variables["RADSERVE_TRITON_ADDRESS"] != f"triton:{flags['--grpc-port']}":
        yield f"service: looks for Triton at {variables['RADSERVE_TRITON_ADDRESS']}"
    if variables["RADSERVE_PORT"] != image_of(service).final.last("EXPOSE").value:
        yield f"service: listens on {variables['RADSERVE_PORT']}, its image exposes another port"


def drained(compose: dict[str, Any], settings: Settings) -> Iterator[str]:
    """The service is given the time that its drain and its longest request may take."""
    needed = settings.drain_s + max(settings.request_timeout_s, settings.series_timeout_s)
    if seconds(compose["services"]["service"]["stop_grace_period"]) <= needed:
        yield f"service: stop_grace_period is not longer than drain and longest request, {needed:g} s"


def seconds(duration: str) -> int:
    """Compose's ``75s`` or ``2m`` in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def _filled(text: str) -> str:
    """``${NAME:-default}`` as its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
