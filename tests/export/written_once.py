"""A writer of graphs in, one that writes each network once a session out: it copies a graph that it has written before.

For tests of what happens around the writing, which export the same tiny networks over and over.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import torch

from radserve_export.networks import BuiltNetwork

Write = Callable[[BuiltNetwork, Path], None]

_written = tempfile.TemporaryDirectory(prefix="radserve-graphs-")


def written_once(write: Write) -> Write:
    """``write``, but for a network whose spec, weights and provenance it has written before."""

    @wraps(write)
    def copied(network: BuiltNetwork, path: Path) -> None:
        graph = Path(_written.name) / f"{write.__name__}-{_key(network)}"
        if not graph.exists():
            write(network, path)
            shutil.copy(path, graph)
        shutil.copy(graph, path)

    return copied


def _key(network: BuiltNetwork) -> str:
    digest = hashlib.sha256(repr((network.spec, network.checkpoint_sha256, network.architecture)).encode())
    digest.update(repr(network.module).encode())
    for name, value in network.module.state_dict().items():
        digest.update(name.encode() + repr((value.dtype, value.shape)).encode())
        digest.update(torch.atleast_1d(value).contiguous().numpy().tobytes())
    return digest.hexdigest()
