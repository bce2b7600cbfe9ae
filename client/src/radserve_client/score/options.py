"""Everything that the command line says about a run, as one frozen value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from radserve_client.score.errors import WrongUse
from radserve_client.score.way import Ask

SIZE = re.compile(r"(\d+) ?(?:([KMGT])i?B?)?", re.IGNORECASE)
POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


class Via(StrEnum):
    """How the networks are reached."""

    SERVICE = "service"
    TRITON = "triton"


class Detect(StrEnum):
    """When the detector runs."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class EngineName(StrEnum):
    """What runs the items."""

    LOCAL = "local"
    RAY = "ray"


class OnModelChange(StrEnum):
    """What to do when other networks answer than those of the rows that are there."""

    STOP = "stop"
    RECORD = "record"


class Store(StrEnum):
    """Where pictures and masks go."""

    FOLDER = "folder"
    ZIP = "zip"


class Grouping(StrEnum):
    """Which files make one item."""

    FILE = "file"
    FOLDER = "folder"
    SERIES = "series"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """See ``radserve score --help``; None is the default that the help names."""

    source: str
    out: Path
    ask: Ask
    url: str | None = None
    via: Via = Via.SERVICE
    triton: tuple[str, ...] = ()
    workers: int | None = None
    engine: EngineName = EngineName.LOCAL
    ray_address: str | None = None
    group_by: Grouping | None = None
    path_column: str | None = None
    hash_ids: Path | None = None
    store: Store = Store.FOLDER
    retry_failed: bool = False
    verify: bool = False
    on_model_change: OnModelChange = OnModelChange.STOP
    patience_s: float = 1800.0
    in_flight_bytes: int = 512 * 1024**2
    window: int = 64
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.engine is EngineName.RAY and self.via is not Via.TRITON:
            raise WrongUse("--engine ray asks Triton itself: add --via triton and --triton HOST:PORT")
        if self.triton and self.via is not Via.TRITON:
            raise WrongUse("--triton HOST:PORT is of use with --via triton only")
        if self.workers is not None and self.via is not Via.TRITON:
            raise WrongUse("--workers are the processes of --via triton; a service has its own")
        if self.ray_address is not None and self.engine is not EngineName.RAY:
            raise WrongUse("--ray-address is of use with --engine ray only")
        if self.url is not None and self.via is not Via.SERVICE:
            raise WrongUse("--url is the address of a service; --via triton takes --triton HOST:PORT")

    def document(self) -> dict[str, object]:
        """For ``run.json``: what was asked for, without keys, addresses' secrets or paths of key files."""
        return {
            "via": self.via.value,
            "engine": self.engine.value,
            "group_by": self.group_by.value if self.group_by else None,
            "overlay": self.ask.overlay,
            "mask": self.ask.mask,
            "store": self.store.value,
            "detect": self.ask.detect,
            "series": self.ask.series,
            "retry_failed": self.retry_failed,
            "verify": self.verify,
            "on_model_change": self.on_model_change.value,
            "patience_s": self.patience_s,
            "in_flight_bytes": self.in_flight_bytes,
            "window": self.window,
            "workers": self.workers,
        }


def bytes_of(text: str) -> int:
    """Bytes of a size such as ``512M`` or ``2GiB``; powers of 1024.

    Raises
    ------
    ValueError
        It is none, or 0.
    """
    found = SIZE.fullmatch(text.strip())
    size = int(found[1]) * 1024 ** POWERS[(found[2] or "").upper()] if found else 0
    if not size:
        raise ValueError(f"{text!r} is no size; write for example 512M or 2GiB")
    return size
