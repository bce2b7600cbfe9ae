"""A checkpoint file in, a network with its weights out; nothing of the file is ever run.

A ``.pth`` file is a pickle, and a pickle is a program. torch's ``weights_only`` reader runs none of it: it builds
tensors, containers and numbers, plus the classes on an allow-list. Ours adds numpy's numeric scalars, which trained
systems keep beside the weights (best loss, AUROC).
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray

from radserve_export.digest import sha256_of_bytes
from radserve_export.errors import CheckpointMissing, ForeignCheckpoint, UnreadableCheckpoint, UnsafeCheckpoint

# A scalar is pickled under numpy.core by numpy 1 and under numpy._core by numpy 2. Its dtype is rebuilt through
# numpy.dtype and its class; object, string and structured dtypes stay out.
NUMPY_SCALARS: tuple[Any, ...] = (
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    np.dtype,
    *(type(np.dtype(code)) for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")),
)
WRAPPERS = ("model_state_dict", "state_dict")
DATA_PARALLEL = "module."
BATCH_COUNTER = "num_batches_tracked"
NAMED = 3
"""How many keys a message names before it counts the rest."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file holds, and the SHA-256 of the very bytes it was read from."""

    content: Any = field(repr=False)
    sha256: str


def load_safely(path: Path, allowed: Sequence[type | Callable[..., Any] | tuple[Any, str]] = ()) -> Checkpoint:
    """Read a file that torch saved, as tensors, containers, numbers and the ``allowed`` classes, on the CPU.

    Raises
    ------
    CheckpointMissing
        When there is no such file.
    UnsafeCheckpoint
        When it asks for anything else; the message names the first such thing. It was not run.
    UnreadableCheckpoint
        When it is truncated or not a torch file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointMissing(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with torch.serialization.safe_globals([*NUMPY_SCALARS, *allowed]):
            content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or hostile pickle makes the reader raise almost anything
        raise _refusal(path, raw, error) from error
    return Checkpoint(content, sha256_of_bytes(raw))


def _refusal(path: Path, raw: bytes, error: Exception) -> UnsafeCheckpoint | UnreadableCheckpoint:
    """Our error for what torch's reader said about ``path``."""
    text = str(error)
    if isinstance(error, UnpicklingError) and (unsafe := re.search(r"GLOBAL ([\w.]+)", text)):
        return UnsafeCheckpoint(
            f"{path}: wants {unsafe[1]}, which is neither a tensor nor a number; refused, nothing of it was run. "
            "Save the network's state_dict() instead"
        )
    if "TorchScript" in text:
        return UnreadableCheckpoint(f"{path}: is a TorchScript archive; wanted a checkpoint (state dict)")
    if not raw:
        return UnreadableCheckpoint(f"{path}: is empty; copy it again")
    return UnreadableCheckpoint(
        f"{path}: {len(raw)} bytes that are no complete torch checkpoint "
        f"({type(error).__name__}); truncated or another kind of file? Copy it again (Git LFS pointers count too)"
    )


def state_dict_of(checkpoint: Checkpoint, path: Path) -> dict[str, torch.Tensor]:
    """Unwrap the weights: bare or under ``model_state_dict`` / ``state_dict``, with or without ``module.``.

    Raises
    ------
    ForeignCheckpoint
        When what is inside is no mapping of names to tensors, or a tensor holds NaN or infinity.
    """
    weights = checkpoint.content
    for wrapper in WRAPPERS:
        if isinstance(weights, Mapping) and wrapper in weights:
            weights = weights[wrapper]
            break
    if not isinstance(weights, Mapping) or not weights:
        raise ForeignCheckpoint(f"{path}: holds a {type(weights).__name__}; wanted a state dict of named tensors")
    strangers = [str(key) for key, value in weights.items() if not (isinstance(key, str) and _is_plain(value))]
    if strangers:
        raise ForeignCheckpoint(f"{path}: no tensor under {_some(strangers)}; wanted a state dict of named tensors")
    _refuse_non_finite(weights, path)
    return _without_prefix(weights)


def _is_plain(value: object) -> bool:
    """Whether it is a tensor with its numbers in it: not sparse, quantised or a mere description of one ("meta")."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _refuse_non_finite(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise ForeignCheckpoint(f"{path}: NaN or infinity in {_some(bad)}; training diverged, take another checkpoint")


def _without_prefix(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights without DataParallel's ``module.``, when every name has it."""
    if all(name.startswith(DATA_PARALLEL) for name in weights):
        return {name.removeprefix(DATA_PARALLEL): value for name, value in weights.items()}
    return dict(weights)


def load_strictly(network: torch.nn.Module, weights: Mapping[str, torch.Tensor], path: Path, what: str) -> None:
    """Put ``weights`` into ``network``: every key and shape must agree, batch counters excepted.

    Floating point of any precision becomes the network's own. Whole or complex numbers do not: torch would convert them
    without a word, and a quantised network's codes would be served as weights.

    Parameters
    ----------
    path
        Where the weights came from, for the message.
    what
        The architecture, for the message.

    Raises
    ------
    ForeignCheckpoint
        Naming the first keys that are missing, unexpected, of another shape or of another type.
    """
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in weights and not name.endswith(BATCH_COUNTER)]
    unexpected = [name for name in weights if name not in wanted and not name.endswith(BATCH_COUNTER)]
    reshaped = [
        f"{name} is {tuple(weights[name].shape)}, wanted {tuple(wanted[name].shape)}"
        for name in wanted
        if name in weights and weights[name].shape != wanted[name].shape
    ]
    retyped = [
        f"{name} is {weights[name].dtype}, wanted {wanted[name].dtype}"
        for name in wanted
        if name in weights and wanted[name].is_floating_point() and not weights[name].is_floating_point()
    ]
    differences = {
        "missing": missing,
        "unexpected": unexpected,
        "of another shape": reshaped,
        "of another type": retyped,
    }
    reasons = [f"{len(names)} {reason}: {_some(names)}" for reason, names in differences.items() if names]
    if reasons:
        raise ForeignCheckpoint(f"{path}: is not a {what} with this head. Keys " + "; ".join(reasons))
    known = {name: value for name, value in weights.items() if name in wanted}
    network.load_state_dict(known, strict=False)  # strictness is the comparison above


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
