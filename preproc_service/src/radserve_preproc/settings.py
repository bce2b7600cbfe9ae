"""The environment in, one frozen ``Settings`` out. Read once, by ``main.py``; no other module looks at the environment.

Every name starts with ``RADSERVE_``. A name that is no setting is refused, so that a misspelt one cannot pass for a
default. Not ours, and left alone: ``RADSERVE_CLIENT_*`` and ``RADSERVE_SERVER_*`` (the client's and the
launcher's), and what Kubernetes injects for every Service of the namespace ("service links"): a Service called
``radserve`` gives each pod ``RADSERVE_PORT=tcp://10.0.0.1:8080``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "RADSERVE_"
OTHER_PROGRAMS = ("RADSERVE_CLIENT_", "RADSERVE_SERVER_")


class ConfigurationError(ValueError):
    """A setting is unknown or has a value that cannot be; the message names it."""


class Balancing(StrEnum):
    """How gRPC calls are spread over the addresses that the Triton name resolves to."""

    PICK_FIRST = "pick_first"
    ROUND_ROBIN = "round_robin"


class LogLevel(StrEnum):
    """Least severe level that is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def _unit(name: str) -> dict[str, Any]:
    return {"unit": name}


MEBIBYTE = 1 << 20
Bytes = Annotated[int, Field(gt=0, json_schema_extra=_unit("bytes"))]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, json_schema_extra=_unit("seconds"))]
Count = Annotated[int, Field(gt=0)]


class Settings(BaseSettings):
    """Everything a site can set about the service; each field's name in capitals after ``RADSERVE_``."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 in a container")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    pipelines: str = Field(
        "",
        pattern=r"^([a-z0-9_]+(,[a-z0-9_]+)*)?$",
        description="pipelines to serve, separated by commas; empty: those whose default profile Triton has",
    )
    triton_address: str = Field(
        "127.0.0.1:8001",
        description="host:port of Triton's gRPC endpoint; dns:///name:port for every address of a headless Service",
    )
    triton_balancing: Balancing = Field(
        Balancing.PICK_FIRST,
        description="pick_first keeps to one Triton; round_robin spreads over the addresses of a headless Service",
    )
    triton_ca_file: str = Field(
        "", description="PEM file of the authority that signed Triton's certificate; empty: no TLS to Triton"
    )
    triton_cert_file: str = Field(
        "", description="PEM file of the service's own certificate, for a Triton that asks for one (mutual TLS)"
    )
    triton_key_file: str = Field("", description="PEM file of its key, without passphrase")
    triton_batches: Count = Field(
        1, description="full batches per network that are with Triton at once; as many as it has instances"
    )
    triton_in_flight: Count = Field(16, description="calls that are with Triton at once, over all models")
    model_refresh_s: Seconds = Field(
        10.0, description="how long model versions and digests are believed before Triton is asked again"
    )
    request_timeout_s: Seconds = Field(60.0, description="from a radiograph's arrival to its answer; then 504")
    series_timeout_s: Seconds = Field(
        170.0, description="the same for CT pipelines, whose studies are many slices; the client waits 180"
    )
    queue: Count = Field(256, description="studies that may wait for Triton; the next gets 429")
    queue_ageing_s: Seconds = Field(10.0, description="waiting that raises a study by one priority, up to urgent")
    cpu_threads: int = Field(
        0, ge=0, description="threads that decode, resize and draw; 0 takes the cores this process may use"
    )
    cpu_queue: Count = Field(256, description="jobs that may wait for such a thread; the next gets 429")
    upload_limit_bytes: Bytes = Field(64 * MEBIBYTE, description="largest radiograph; a larger one gets 413")
    series_limit_bytes: Bytes = Field(
        640 * MEBIBYTE,
        description="largest upload of a CT pipeline, all files or the zip together; a larger one gets 413",
    )
    unpacked_limit_bytes: Bytes = Field(
        2048 * MEBIBYTE, description="what a zip, or a gzipped NIfTI, may unpack to; more gets 413"
    )
    volume_limit_voxels: Count = Field(
        600_000_000, description="largest slices x Rows x Columns of a CT; a larger one gets 422 before it is decoded"
    )
    uploads_held_bytes: Bytes = Field(
        2048 * MEBIBYTE, description="uploads in memory at once, over all requests; beyond it 429"
    )
    image_limit_pixels: Count = Field(
        100_000_000, description="largest Rows x Columns; a larger image gets 422 before it is decoded"
    )
    drain_s: float = Field(
        5.0,
        ge=0,
        allow_inf_nan=False,
        description="after SIGTERM: not ready but still serving, until load balancers have noticed",
        json_schema_extra=_unit("seconds"),
    )
    keep_alive_s: Count = Field(
        75,
        description="how long an idle connection stays open; longer than the load balancer's",
        json_schema_extra=_unit("seconds"),
    )
    log_level: LogLevel = Field(LogLevel.INFO, description="least severe level that is logged")
    log_hash_key: SecretStr | None = Field(
        None, description="key of the hashes that stand for UIDs in logs; random per process when not set"
    )
    trace_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^/?#@\s]+)?$",
        description="collector that traces go to, OTLP over gRPC, such as http://collector:4317; empty: no tracing",
    )
    trace_sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of requests that is traced, where their caller (traceparent) has not decided",
    )
    score_reference: str = Field(
        "", description="file of recorded scores that drift is measured against (docs/runbooks); empty: none"
    )

    @model_validator(mode="after")
    def _one_upload_fits(self) -> Settings:
        for name in ("upload_limit_bytes", "series_limit_bytes"):
            limit_bytes = getattr(self, name)
            if self.uploads_held_bytes < limit_bytes:
                raise ValueError(
                    f"RADSERVE_UPLOADS_HELD_BYTES ({self.uploads_held_bytes}) is below {variable(name)}"
                    f" ({limit_bytes}): the largest allowed upload would never get in"
                )
        return self

    @model_validator(mode="after")
    def _tls_files_are_complete(self) -> Settings:
        if bool(self.triton_cert_file) != bool(self.triton_key_file):
            raise ValueError("RADSERVE_TRITON_CERT_FILE and RADSERVE_TRITON_KEY_FILE belong together; one is missing")
        if self.triton_cert_file and not self.triton_ca_file:
            raise ValueError(
                "RADSERVE_TRITON_CERT_FILE without RADSERVE_TRITON_CA_FILE: nothing would tell Triton from an impostor"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from ``load`` alone: a ``Settings()`` in a test does not depend on the machine it runs on."""
        return (init_settings,)


def load(environ: Mapping[str, str]) -> Settings:
    """The settings that ``environ`` asks for. An empty value is the same as none.

    Raises
    ------
    ConfigurationError
        Naming every variable that is unknown or has a bad value; never the value of a secret.
    """
    ours = _ours(environ)
    if unknown := sorted(set(ours) - {variable(field) for field in Settings.model_fields}):
        raise ConfigurationError("; ".join(map(_unknown, unknown)))
    values = {name.removeprefix(PREFIX).lower(): value for name, value in ours.items() if value != ""}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_said(detail) for detail in error.errors(include_input=False))) from None


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are meant for this program."""
    links = _service_links(environ)
    return {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(OTHER_PROGRAMS) and name not in links
    }


def _service_links(environ: Mapping[str, str]) -> set[str]:
    """What Kubernetes injected: for a Service, ``X_SERVICE_HOST`` comes together with ``X_PORT=<protocol>://...``.

    Only the whole set makes a link. A lone ``RADSERVE_TRITON_PORT=8001`` is somebody's mistake and is not excused.
    """
    services = [
        name.removesuffix("_PORT")
        for name, value in environ.items()
        if re.fullmatch(rf"{PREFIX}(\w+_)?PORT", name) and re.match(r"(tcp|udp|sctp)://", value)
    ]
    linked = [service for service in services if f"{service}_SERVICE_HOST" in environ]
    forms = r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
    return {name for name in environ for service in linked if re.fullmatch(f"{re.escape(service)}_{forms}", name)}


def _unknown(name: str) -> str:
    known = [variable(field) for field in Settings.model_fields]
    near = difflib.get_close_matches(name, known, n=1)
    return f"{name} is no setting of the service" + (f"; {near[0]}?" if near else "")


def _said(detail: Any) -> str:
    """One validation error in words."""
    where = variable(str(detail["loc"][0])) + ": " if detail["loc"] else ""
    return where + str(detail["msg"]).removeprefix("Value error, ")
