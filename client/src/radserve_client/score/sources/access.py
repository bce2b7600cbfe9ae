"""Client settings in, what a worker needs to read from a server out."""

from __future__ import annotations

import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from radserve_client.score.errors import WrongUse
from radserve_client.settings import PREFIX, ClientSettings

DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Access:
    """How archives are read. Picklable and hashable; what is secret is in no ``repr``.

    ``authorization`` is the value of that header; it is sent to ``origin`` (``https://host:443``) and to nobody else.
    ``timeout_s`` is the longest silence, ``limit_bytes`` the most that one item may take in memory, ``tries`` how often
    a request is sent at most, ``longest_pause_s`` the longest pause between two tries.
    """

    authorization: str = field(default="", repr=False)
    origin: str = ""
    ca_file: Path | None = None
    timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    limit_bytes: int = 2 * 1024**3
    page_size: int = 100
    tries: int = 4
    longest_pause_s: float = 30.0

    def authorization_for(self, url: str) -> str:
        """The Authorization header of a request to ``url``: empty for every other origin than ours."""
        return self.authorization if self.origin and origin_of(url) == self.origin else ""


def access_from(settings: ClientSettings) -> Access:
    """The access that ``RADSERVE_CLIENT_DICOMWEB_*`` give.

    Raises
    ------
    WrongUse
        Settings that contradict each other, or a file of certificates that holds none.
    """
    access = Access(
        authorization=_authorization(settings),
        origin=origin_of(str(settings.dicomweb_url)) if settings.dicomweb_url else "",
        ca_file=settings.dicomweb_ca_file,
        timeout_s=settings.dicomweb_timeout_s,
        connect_timeout_s=settings.connect_timeout_s,
        limit_bytes=settings.item_limit_bytes,
        page_size=settings.dicomweb_page_size,
        longest_pause_s=settings.longest_pause_s,
    )
    certificates(access.ca_file)
    return access


@lru_cache
def certificates(ca_file: Path | None) -> ssl.SSLContext:
    """The authorities that an https server is checked with.

    Raises
    ------
    WrongUse
        ``ca_file`` cannot be read, or holds no certificates.
    """
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        reason = error.strerror or error
        raise WrongUse(f"{PREFIX}DICOMWEB_CA_FILE: {ca_file} holds no certificates ({reason})") from None


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, spelt in one way; empty when it has none."""
    parts = urlsplit(url)
    try:
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.hostname and port else ""


def _authorization(settings: ClientSettings) -> str:
    user, password, token = settings.dicomweb_username, settings.dicomweb_password, settings.dicomweb_token
    if token and (user or password):
        raise WrongUse(f"set {PREFIX}DICOMWEB_TOKEN, or {PREFIX}DICOMWEB_USERNAME and _PASSWORD, not both")
    if bool(user) != bool(password):
        raise WrongUse(f"{PREFIX}DICOMWEB_USERNAME and {PREFIX}DICOMWEB_PASSWORD go together; only one is set")
    if token:
        return _one_line(f"Bearer {token.get_secret_value()}")
    if user and password:
        pair = f"{user}:{password.get_secret_value()}".encode()
        return f"Basic {b64encode(pair).decode()}"
    return ""


def _one_line(header: str) -> str:
    if not (header.isascii() and header.isprintable()):
        raise WrongUse(f"{PREFIX}DICOMWEB_TOKEN holds characters that no HTTP header may have (a line break?)")
    return header
