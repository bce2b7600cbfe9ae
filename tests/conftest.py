"""Fixtures that several folders share, and the marker that each folder's tests get.

``served_repository`` and ``triton_server`` are the real networks (untrained) on the real server; ``start_triton`` runs
it on any repository, such as one of mock models (``tests/mock_repository.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from radserve_triton.server import TritonServer
from radserve_triton.settings import load_settings
from tests.served_repository import BOTH_PROFILES, CT, ROOT, SPINE, cached_repository, exporting

FOLDER_MARKERS = {
    "triton_server": "triton",
    "end_to_end": "triton",
    "bench": "triton",
    "images": "triton",
    "export": "torch",
    "parity": "torch",
}
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# ours alone: the programs under test refuse RADSERVE_ names that they do not know
SAMPLES = os.environ.pop("RADSERVE_SAMPLES", None)
REPOSITORY = os.environ.pop("RADSERVE_TEST_REPOSITORY", None)
REPOSITORY_OF_BOTH_PROFILES = os.environ.pop("RADSERVE_TEST_BOTH_PROFILES", None)
CT_REPOSITORY = os.environ.pop("RADSERVE_TEST_CT", None)

StartTriton = Callable[..., TritonServer]


ORDER = ("unit", "torch", "triton")
"""Tests of the networks on a server come last: until then another process exports what they need."""
EXPORTED = {
    "served_repository": (REPOSITORY, SPINE),
    "ct_repository": (CT_REPOSITORY, CT),
    "both_profiles_repository": (REPOSITORY_OF_BOTH_PROFILES, BOTH_PROFILES),
}
"""Fixture, the folder that was given instead, and what is exported for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder decides the marker: ``-m unit`` needs no server and no torch."""
    for item in items:
        item.add_marker(_marker(item))
    items.sort(key=lambda item: ORDER.index(_marker(item)))


def _marker(item: pytest.Item) -> str:
    return FOLDER_MARKERS.get(item.path.relative_to(ROOT / "tests").parts[0], "unit")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to export the repositories that the collected tests ask for."""
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    missing = [words for fixture, (given, words) in EXPORTED.items() if fixture in asked and not given]
    if missing and not session.config.option.collectonly:
        session.config.add_cleanup(exporting(missing))


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of real sample files; skips where it is absent."""
    folder = Path(SAMPLES) if SAMPLES else ROOT.parent / "shared" / "data"
    if not (folder / "README.md").is_file():
        pytest.skip(f"no sample files in {folder}; put them there or name their folder in RADSERVE_SAMPLES")
    return folder


@pytest.fixture(scope="session")
def served_repository() -> Path:
    """A served repository of the default profile with untrained weights (tests/served_repository.py).

    RADSERVE_TEST_REPOSITORY names one that is there already.
    """
    return Path(REPOSITORY) if REPOSITORY else cached_repository(SPINE)


@pytest.fixture(scope="session")
def both_profiles_repository() -> Path:
    """The same with profile ``published`` beside the default one. RADSERVE_TEST_BOTH_PROFILES names one."""
    given = REPOSITORY_OF_BOTH_PROFILES
    return Path(given) if given else cached_repository(BOTH_PROFILES)


@pytest.fixture(scope="session")
def ct_repository() -> Path:
    """The default profile of every CT pipeline, untrained. RADSERVE_TEST_CT names one that is there already."""
    return Path(CT_REPOSITORY) if CT_REPOSITORY else cached_repository(CT)


@pytest.fixture(scope="session")
def start_triton() -> Iterator[StartTriton]:
    """``start_triton(repository, **settings)`` answers a running TritonServer on free ports, stopped after the session.

    It does not ask for a manifest unless told ``verify=True``.
    """
    with ExitStack() as running:

        def start(repository: Path, **settings: Any) -> TritonServer:
            return running.enter_context(TritonServer(free_port_settings(repository, **settings)))

        yield start


@pytest.fixture(scope="session")
def triton_server(served_repository: Path, start_triton: StartTriton) -> TritonServer:
    """The real server with the real networks, untrained."""
    return start_triton(served_repository, verify=True)


def free_port_settings(repository: Path, **settings: Any) -> Any:
    """Settings of a server on free ports of this machine that stops quickly."""
    defaults = {"verify": False, "grpc_port": 0, "http_port": 0, "metrics_port": 0, "exit_timeout_s": 5}
    return load_settings({}, repository=repository, runtime=ROOT / ".venv-triton", **(defaults | settings))
