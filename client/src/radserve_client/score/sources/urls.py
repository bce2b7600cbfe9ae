"""URLs in: what they point to, and how they may be written down."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SERIES_URL = re.compile(r"/studies/[0-9.]+/series/[0-9.]+$")
INSTANCE_URL = re.compile(r"/studies/[0-9.]+/series/[0-9.]+/instances/([0-9.]+)$")

UNKNOWN_FILE_BYTES = 16 * 1024**2
"""Taken for the size of a file that only its server knows: a film."""
UNKNOWN_SERIES_BYTES = 256 * 1024**2
"""The same of a CT series."""

_SECRET = re.compile(
    r"x-(amz|goog)-.*|awsaccesskeyid|googleaccessid|signature|expires|key-pair-id|policy|.*token.*|.*password.*"
    r"|.*secret.*|api_?key|auth|sig|se|sp|sv|sr|st|spr|skoid|sktid|skt|ske|sks|skv",
    re.IGNORECASE,
)
"""Parameters of signed URLs (Amazon, Google, Azure) and of other tickets: they open the archive, and change daily."""


def public_url(url: str) -> str:
    """The URL without fragment, a slash at the end and its signature: the same in every run, and no secret."""
    parts = urlsplit(url.rstrip("/"))
    kept = [(name, value) for name, value in parse_qsl(parts.query, True) if not _SECRET.fullmatch(name)]
    query = parts.query if len(kept) == parts.query.count("&") + bool(parts.query) else urlencode(kept)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def has_user(url: str) -> bool:
    """Whether a URL has a user name or a password in it."""
    return "@" in urlsplit(url).netloc
