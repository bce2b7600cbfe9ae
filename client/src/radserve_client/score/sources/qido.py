"""Searches on a DICOMweb server (QIDO-RS, PS3.18 10.6): page by page, whatever the server makes of limit and offset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode

import httpx

from radserve_client.score.sources.access import Access
from radserve_client.score.sources.http import ArchiveFault, bad_answer, fetch, limited

ACCEPT = "application/dicom+json"
PAGING_FAULT = "ARCHIVE_PAGING"
STUDY_UID = "0020000D"
SERIES_UID = "0020000E"
SOP_UID = "00080018"
_MOST_PAGE_BYTES = 256 * 1024**2
_FAR_BEYOND = 10_000_000
"""More results than a server has: who finds any there ignores offset. A page may come twice for other reasons."""

Match = Mapping[str, Any]
"""A result in the DICOM JSON model (PS3.18 F): tag to ``{"vr": ..., "Value": [...]}``."""


def search(
    url: str, keys: Mapping[str, str], uid_tag: str, access: Access, *, expected: int | None = None
) -> Iterator[Match]:
    """Every result once. ``uid_tag`` is the tag of the UID that tells results apart; 8 bytes of it are remembered.

    A server may give fewer results than asked for without being at the end (PS3.18 8.3.4), so only an empty page is
    one; or a page that is not full, when there are as many results as are ``expected``. Only both: the number comes
    from the level above, and Orthanc counts too few where one study is stored for two patients.

    Raises
    ------
    ArchiveFault
        The server does not answer, not with DICOM JSON, or always with the same page.
    """
    seen: set[bytes] = set()
    before: list[str] = []
    offset = 0
    while True:
        page, more = _page(url, keys, offset, access.page_size, access)
        uids = [uid_of(match, uid_tag) for match in page]
        yield from (match for match, uid in zip(page, uids, strict=True) if _is_new(uid, seen))
        if not page or (len(page) < access.page_size and len(seen) == expected and not more):
            return
        if uids == before and _page(url, keys, offset + _FAR_BEYOND, access.page_size, access)[0]:
            _check_end(url, keys, len(page), access, more=more)
            return
        before = uids
        offset += len(page)


def _check_end(url: str, keys: Mapping[str, str], found: int, access: Access, *, more: bool) -> None:
    """The server ignores offset. That is the end all the same, if it has no more than this page."""
    if found == access.page_size:
        more = len(_page(url, keys, 0, found + 1, access)[0]) > found
    if more:
        raise ArchiveFault(
            PAGING_FAULT,
            f"the server ignores offset: it gives the same {found} results again and again, and there are more."
            " Narrow the query, or raise RADSERVE_CLIENT_DICOMWEB_PAGE_SIZE above the number of results",
            transient=False,
        )


def _page(url: str, keys: Mapping[str, str], offset: int, limit: int, access: Access) -> tuple[list[Match], bool]:
    """A page, and whether the server says that there is more."""
    query = {**keys, "limit": str(limit), "offset": str(offset)}

    def read(response: httpx.Response) -> tuple[list[Match], bool]:
        # 299 is for "additional results can be requested" too; the other one is about fuzzymatching
        warnings = response.headers.get_list("Warning")
        more = any(text.lstrip().startswith("299") and "additional" in text for text in warnings)
        return _results(response), more

    return fetch(f"{url}?{urlencode(query)}", access, read, accept=ACCEPT)


def uid_of(match: Match, tag: str) -> str:
    """The UID under ``tag``.

    Raises
    ------
    ArchiveFault
        A required one is missing, or is no UID.
    """
    uid = first_value(match, tag)
    if not isinstance(uid, str) or not uid or not set(uid) <= set("0123456789."):
        raise bad_answer(f"a search result has no UID under {tag}")
    return uid


def first_value(match: Match, tag: str) -> Any:
    """The first value under a tag; None when there is none."""
    return next(iter(values(match, tag)), None)


def values(match: Match, tag: str) -> list[Any]:
    """The values under a tag."""
    element = match.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def _is_new(uid: str, seen: set[bytes]) -> bool:
    """Studies that arrive while we page push others onto the next page, where they come again."""
    digest = blake2b(uid.encode(), digest_size=8).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True


def _results(response: httpx.Response) -> list[Match]:
    if response.status_code == httpx.codes.NO_CONTENT:
        return []
    body = limited(response, _MOST_PAGE_BYTES)
    if not body:
        return []
    try:
        found = json.loads(body)
    except ValueError:
        raise bad_answer("the answer to a search is no JSON") from None
    if not isinstance(found, list) or not all(isinstance(match, dict) for match in found):
        raise bad_answer("the answer to a search is no list of DICOM JSON objects")
    return found
