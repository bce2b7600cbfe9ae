"""Environment in (``RADSERVE_CLIENT_*``), one frozen settings object out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "RADSERVE_CLIENT_"


class ClientSettings(BaseSettings):
    """How the client reaches the service. Each field is the environment variable ``RADSERVE_CLIENT_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8080"), description="Address of the radserve service.")
    timeout_s: float = Field(180.0, gt=0, description="Longest silence while waiting for an answer, in seconds.")
    connect_timeout_s: float = Field(5.0, gt=0, description="Longest wait for a connection, in seconds.")
    busy_retries: int = Field(8, ge=0, description="How often a request that was told 429 is sent again.")
    longest_pause_s: float = Field(30.0, gt=0, description="Longest pause that a 429 answer may ask for, in seconds.")
    concurrency: int = Field(4, ge=1, le=64, description="Files in flight at once.")
    ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed an https service's certificate."
    )
    item_limit_bytes: int = Field(2 * 1024**3, gt=0, description="Most bytes that one item of radserve score may have.")
    dicomweb_url: HttpUrl | None = Field(
        None, description="Server that gets the DICOMweb credentials for URLs of a manifest."
    )
    dicomweb_username: str | None = Field(None, description="User name at the DICOMweb server.")
    dicomweb_password: SecretStr | None = Field(None, description="Password at the DICOMweb server.")
    dicomweb_token: SecretStr | None = Field(None, description="Bearer token for the DICOMweb server.")
    dicomweb_ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed the DICOMweb server's certificate."
    )
    dicomweb_timeout_s: float = Field(60.0, gt=0, description="Longest silence of the DICOMweb server, in seconds.")
    dicomweb_page_size: int = Field(100, ge=1, le=10_000, description="Results asked for in one search.")


def load_settings() -> ClientSettings:
    """Settings from the environment.

    Raises
    ------
    ValueError
        A variable has the prefix but is no setting, or a value does not fit; the message names the variable.
    """
    refuse_unknown(os.environ)
    try:
        return ClientSettings()  # type: ignore[call-arg]  # pydantic fills the fields from the environment
    except ValidationError as error:
        faults = (f"{PREFIX}{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors())
        raise ValueError("; ".join(faults)) from None


def checked_url(url: str) -> HttpUrl:
    """The address of a service.

    Raises
    ------
    ValueError
        It is none; the message quotes it.
    """
    try:
        return TypeAdapter(HttpUrl).validate_python(url)
    except ValidationError as error:
        raise ValueError(f"{url or 'an empty text'} is no address of a service: {error.errors()[0]['msg']}") from None


def refuse_unknown(names: Iterable[str]) -> None:
    """A misspelt variable would be ignored in silence: name it, and what there is.

    Raises
    ------
    ValueError
        A name starts with the prefix and is no setting.
    """
    known = {f"{PREFIX}{name.upper()}" for name in ClientSettings.model_fields}
    unknown = sorted(name for name in names if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise ValueError(f"no such setting: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
