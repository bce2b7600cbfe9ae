"""A hand-written config.pbtxt in, the served one out: the same text with the ``radserve_*`` parameters at its end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import text_encoding, text_format
from tritonclient.grpc import model_config_pb2

from radserve_export.errors import SourceError

VERSION = "1"
PREFIX = "radserve_"
TORCH_BACKENDS = frozenset({"pytorch", "pytorch_libtorch"})


def read_config(path: Path, model: str) -> Any:
    """Parse a config with Triton's own protobuf: a ``ModelConfig`` message.

    Raises
    ------
    SourceError
        When there is no such file, it does not parse, names another model or has ``radserve_*`` parameters already.
    """
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); every served model needs one") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: Triton would not parse it: {error}") from error
    if config.name != model:
        raise SourceError(f"{path}: its name is {config.name!r}; wanted {model!r}, as its folder")
    ours = [key for key in config.parameters if key.startswith(PREFIX)]
    if ours:
        raise SourceError(f"{path}: has {', '.join(sorted(ours))}; publish writes the {PREFIX}* parameters itself")
    return config


def runs_torchscript(config: Any) -> bool:
    """Whether a parsed config is one for the TorchScript graph."""
    return config.backend in TORCH_BACKENDS or config.platform in TORCH_BACKENDS


def network_parameters(
    digest: str, *, trained: bool | None, classes: tuple[str, ...], architecture: str = ""
) -> dict[str, str]:
    """What the service reads about version 1 with Triton's ModelConfig call.

    Parameters
    ----------
    digest
        SHA-256 of the graph, hex.
    trained
        None for a graph without weights.
    classes
        Class names of a detector, by class number.
    architecture
        What the network is, in words, where the checkpoint decides that.
    """
    parameters = {f"{PREFIX}digest_{VERSION}": digest}
    if trained is not None:
        parameters[f"{PREFIX}trained_{VERSION}"] = str(trained).lower()
    if classes:
        parameters[f"{PREFIX}classes_{VERSION}"] = json.dumps(classes)
    if architecture:
        parameters[f"{PREFIX}architecture_{VERSION}"] = architecture
    return parameters


def with_parameters(text: str, parameters: Mapping[str, str]) -> str:
    """Append ``parameters`` to the text of a config, as string values; comments and layout stay."""
    if not parameters:
        return text
    entries = "".join(
        f'parameters {{ key: "{key}" value {{ string_value: {_quoted(value)} }} }}\n'
        for key, value in parameters.items()
    )
    return f"{text.rstrip()}\n\n# written by radserve-export: what the graph in version {VERSION} is\n{entries}"


def _quoted(value: str) -> str:
    """``value`` as a string of protobuf's text format."""
    return f'"{text_encoding.CEscape(value, as_utf8=False)}"'
