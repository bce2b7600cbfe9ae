"""The environment in, the launcher's frozen settings out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from radserve_triton.errors import BadSetting

PREFIX = "RADSERVE_SERVER_"
# what Kubernetes injects into every pod for a Service called radserve-server
SERVICE_LINK = re.compile(r"RADSERVE_SERVER_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


class Log(StrEnum):
    """How much of tritonserver's own log is passed on."""

    PROBLEMS = "problems"
    ALL = "all"


class ServerSettings(BaseSettings):
    """How to run tritonserver. A path is taken relative to the working directory; port 0 means any free one."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    repository: Path = Field(
        Path(".radserve/repository"), description="the served repository, as radserve-export publishes it"
    )
    runtime: Path | None = Field(
        None,
        description="virtual environment with tritonserver; default: .venv-triton in the working directory or the"
        " nearest folder above it that has one",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    grpc_port: int = Field(8001, ge=0, le=65535, description="gRPC port")
    http_port: int = Field(8000, ge=0, le=65535, description="HTTP port")
    metrics_port: int = Field(8002, ge=0, le=65535, description="Prometheus port")
    variant: str = Field(
        "", pattern=r"^[\w-]*$", description="engine variant: configs/<variant>.pbtxt of every model that has one"
    )
    verify: bool = Field(True, description="refuse a repository that differs from its manifest.json")
    # 30 x 10 s: the largest model needs minutes on a cold disk
    start_timeout_s: float = Field(300, gt=0, description="seconds until every model is loaded, warm and proven")
    exit_timeout_s: int = Field(30, ge=0, description="seconds that requests in flight get to finish on stop")
    log: Log = Field(Log.PROBLEMS, description="tritonserver's own log on standard error: problems, or all")
    self_test: Path | None = Field(None, description="repository of the self test; default: the one of this package")


def load_settings(environment: Mapping[str, str] | None = None, **overrides: Any) -> ServerSettings:
    """The settings of the environment, with ``overrides`` (those that are not None) in front.

    Raises
    ------
    BadSetting
        For an unknown ``RADSERVE_SERVER_*`` name or a value out of range; the message names it, and its value.
    """
    _refuse_unknown(os.environ if environment is None else environment)
    try:
        return ServerSettings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise BadSetting("; ".join(_explain(problem) for problem in error.errors())) from None


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {PREFIX + name.upper() for name in ServerSettings.model_fields}
    for name in environment:
        if name.upper().startswith(PREFIX) and name.upper() not in known and not SERVICE_LINK.fullmatch(name):
            raise BadSetting(f"{name} is no setting of radserve-triton; known are {', '.join(sorted(known))}")


def _explain(problem: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    return f"{PREFIX}{name.upper()} is {problem['input']!r}: {problem['msg']}"
