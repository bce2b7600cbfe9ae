"""Requests to archives: connections that are kept, tries that are repeated, and what went wrong in our words."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from radserve_client.pauses import pause_s
from radserve_client.score.sources.access import Access, certificates

ARCHIVE_UNREACHABLE = "ARCHIVE_UNREACHABLE"
ARCHIVE_UNAUTHORIZED = "ARCHIVE_UNAUTHORIZED"
ARCHIVE_REFUSED = "ARCHIVE_REFUSED"
ARCHIVE_ERROR = "ARCHIVE_ERROR"
ARCHIVE_TRUNCATED = "ARCHIVE_TRUNCATED"
ARCHIVE_INCOMPLETE = "ARCHIVE_INCOMPLETE"
BAD_ARCHIVE_ANSWER = "BAD_ARCHIVE_ANSWER"
NOT_FOUND = "FILE_NOT_FOUND"
TOO_LARGE = "FILE_TOO_LARGE"

T = TypeVar("T")
_FIRST_PAUSE_S = 0.5
_BUSY = frozenset({408, 425, 429, 502, 503, 504})


class ArchiveFault(Exception):
    """An archive's server did not give what was asked for. The message has no URL, no identifier, no secret.

    ``again``: worth another try at once. ``transient``: worth one in another run.
    """

    def __init__(
        self, code: str, message: str, *, transient: bool, again: bool = False, retry_after: str | None = None
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.transient = transient
        self.again = again
        self.retry_after = retry_after


def fetch(
    url: str,
    access: Access,
    use: Callable[[httpx.Response], T],
    *,
    accept: str,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Get ``url`` and give the answer (200, 204 or 206; its body is not read yet) to ``use``.

    What may pass is tried ``access.tries`` times, with pauses that grow; Retry-After is followed within
    ``access.longest_pause_s``.

    Raises
    ------
    ArchiveFault
        After the last try.
    """
    for number in range(1, access.tries + 1):
        try:
            return _once(url, access, use, accept)
        except ArchiveFault as fault:
            if not fault.again or number == access.tries:
                raise
            pause = _FIRST_PAUSE_S * 2 ** (number - 1)
            asked = pause_s(fault.retry_after, longest_s=access.longest_pause_s) if fault.retry_after else pause
            sleep(min(max(asked, pause), access.longest_pause_s))
    raise AssertionError("a try returns or raises")


def close_connections() -> None:
    """Close the connections that this process holds; they come back when they are needed."""
    with _lock:
        for client in _clients.values():
            client.close()
        _clients.clear()


def limited(response: httpx.Response, limit_bytes: int) -> bytes:
    """The body.

    Raises
    ------
    ArchiveFault
        It is longer than ``limit_bytes``; no more than that is held.
    """
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
    return bytes(body)


def too_large(limit_bytes: int) -> ArchiveFault:
    """An item of more bytes than one may have."""
    message = f"more than {limit_bytes} bytes (RADSERVE_CLIENT_ITEM_LIMIT_BYTES)"
    return ArchiveFault(TOO_LARGE, message, transient=False)


def bad_answer(message: str) -> ArchiveFault:
    """An answer that is not what the standard says."""
    return ArchiveFault(BAD_ARCHIVE_ANSWER, message, transient=False)


def _once(url: str, access: Access, use: Callable[[httpx.Response], T], accept: str) -> T:
    headers = {"Accept": accept}
    authorization = access.authorization_for(url)
    if authorization:
        headers["Authorization"] = authorization
    try:
        with _client(access).stream("GET", url, headers=headers) as response:
            _check(response)
            return use(response)
    except httpx.RemoteProtocolError as error:
        message = f"the answer broke off ({_words(error)})"
        raise ArchiveFault(ARCHIVE_TRUNCATED, message, transient=True, again=True) from None
    except httpx.TimeoutException:
        message = f"no answer within {access.timeout_s:g} s (RADSERVE_CLIENT_DICOMWEB_TIMEOUT_S)"
        raise ArchiveFault(ARCHIVE_UNREACHABLE, message, transient=True, again=True) from None
    except httpx.TransportError as error:
        message = f"the archive's server cannot be reached ({_words(error)})"
        raise ArchiveFault(ARCHIVE_UNREACHABLE, message, transient=True, again=True) from None
    except (httpx.InvalidURL, httpx.TooManyRedirects, httpx.DecodingError) as error:
        raise bad_answer(f"{type(error).__name__} where a file was expected") from None


def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status in (200, 204, 206):
        return
    retry_after = response.headers.get("Retry-After")
    if status in _BUSY:
        message = f"the archive's server is busy or away (HTTP {status})"
        raise ArchiveFault(ARCHIVE_UNREACHABLE, message, transient=True, again=True, retry_after=retry_after)
    if status in (401, 403, 407):
        message = (
            f"the archive's server refuses the credentials (HTTP {status});"
            " see RADSERVE_CLIENT_DICOMWEB_USERNAME, _PASSWORD, _TOKEN and _URL"
        )
        raise ArchiveFault(ARCHIVE_UNAUTHORIZED, message, transient=True)
    if status in (404, 410):
        raise ArchiveFault(NOT_FOUND, f"the archive's server has no such thing (HTTP {status})", transient=False)
    if status >= 500:
        message = f"the archive's server failed (HTTP {status})"
        raise ArchiveFault(ARCHIVE_ERROR, message, transient=True, again=status == 500)
    raise ArchiveFault(ARCHIVE_REFUSED, f"the archive's server refuses the request (HTTP {status})", transient=False)


def _words(error: Exception) -> str:
    """What the library says, without what a URL or a host name would tell."""
    return type(error).__name__


Connection = tuple[int, Path | None, float, float]
_clients: dict[Connection, httpx.Client] = {}
_lock = threading.Lock()


def _client(access: Access) -> httpx.Client:
    """The connections of this process; a forked child must not share its parent's sockets."""
    key = (os.getpid(), access.ca_file, access.timeout_s, access.connect_timeout_s)
    with _lock:
        if key not in _clients:
            _clients[key] = httpx.Client(
                timeout=httpx.Timeout(access.timeout_s, connect=access.connect_timeout_s),
                verify=certificates(access.ca_file),
                follow_redirects=True,  # of another origin: httpx drops Authorization
                trust_env=False,  # a proxy of the machine must not get the images of a server on its own network
            )
        return _clients[key]
