"""A DICOMweb server and a query in, its series or instances out as items (QIDO-RS).

Studies, then the series of each, then the instances of each: the three searches that every server has. What is held
are the results of one study, and 8 bytes for each study.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from radserve_client.score.errors import RunError, ServerGone, ServerRefuses, WrongUse
from radserve_client.score.item import DicomwebPart, Item
from radserve_client.score.sources.access import Access, origin_of
from radserve_client.score.sources.fingerprints import of_instances
from radserve_client.score.sources.http import ARCHIVE_UNREACHABLE, ArchiveFault
from radserve_client.score.sources.qido import SERIES_UID, SOP_UID, STUDY_UID, Match, first_value, search, uid_of
from radserve_client.score.sources.qido_keys import Keys, Level, keys_by_level
from radserve_client.score.sources.urls import has_user

SCHEME = "dicomweb+"
_SCOPE = re.compile(r"/studies(/(?P<study>[0-9.]+)(/series(/(?P<series>[0-9.]+))?)?)?$")
_SERIES_IN_STUDY = "00201206"
_INSTANCES_IN_SERIES = "00201209"
_ROWS, _COLUMNS, _BITS_ALLOCATED, _FRAMES = "00280010", "00280011", "00280100", "00280008"
_USUAL = {_ROWS: 512, _COLUMNS: 512, _BITS_ALLOCATED: 16, _FRAMES: 1}
_HEADER_BYTES = 4096
_LISTING_TRIES = 8
"""A minute, with the pauses between them: the whole run ends when the listing does."""


@dataclass(frozen=True, slots=True)
class Query:
    """``root`` is the URL that ``/studies`` is appended to."""

    root: str
    keys: Mapping[Level, Keys]

    @property
    def text(self) -> str:
        """What may be written down of it: nothing that tells who a patient is."""
        return f"{SCHEME}{self.root}?{'&'.join(text for level in Level for text in self.keys[level].shown())}".rstrip(
            "?"
        )


def is_dicomweb(text: str) -> bool:
    """Whether a source is a DICOMweb server."""
    return text.startswith(SCHEME)


def query_of(text: str) -> Query:
    """Read ``dicomweb+https://host/dicom-web?Modality=CT``; ``/studies/UID`` and ``/series/UID`` may follow the root.

    Raises
    ------
    WrongUse
        The text is no such URL, or has a user name or password in it.
    """
    url = text.removeprefix(SCHEME)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not origin_of(url):
        raise WrongUse(f"a DICOMweb source is {SCHEME}https://HOST/PATH?KEY=VALUE; see docs/score-sources.md")
    if has_user(url):
        raise WrongUse(
            "no user name or password in the URL of a source: it stands in results and process lists. Set"
            " RADSERVE_CLIENT_DICOMWEB_USERNAME and RADSERVE_CLIENT_DICOMWEB_PASSWORD"
        )
    path = parts.path.rstrip("/")
    scope = _SCOPE.search(path)
    query = parts.query
    if scope:
        path = path[: scope.start()]
        given = {"StudyInstanceUID": scope["study"], "SeriesInstanceUID": scope["series"]}
        query = "&".join([query, *(f"{name}={uid}" for name, uid in given.items() if uid)]).strip("&")
    return Query(f"{parts.scheme}://{parts.netloc}{path}", keys_by_level(query))


def items_on(query: Query, access: Access, *, per_series: bool) -> Iterator[Item]:
    """An item per series, or per instance, that fits the query. Series and instances come sorted by their UIDs.

    Raises
    ------
    ServerGone
        The server does not answer after several tries.
    ServerRefuses
        It refuses, or answers what no DICOMweb server does.
    """
    patient = replace(access, tries=max(access.tries, _LISTING_TRIES))
    try:
        # asked with few tries: a wrong address is said soon, a server that was there is waited for
        next(search(f"{query.root}/studies", {}, STUDY_UID, replace(access, page_size=1)), None)
        for study in _found(f"{query.root}/studies", query.keys[Level.STUDY], STUDY_UID, patient):
            yield from _items_of_study(query, study, patient, per_series=per_series)
    except ArchiveFault as fault:
        raise _run_error(fault, query.root) from None


def _items_of_study(query: Query, study: Match, access: Access, *, per_series: bool) -> Iterator[Item]:
    url = f"{query.root}/studies/{uid_of(study, STUDY_UID)}/series"
    every = sorted(
        _found(url, query.keys[Level.SERIES], SERIES_UID, access, expected=_count(study, _SERIES_IN_STUDY)),
        key=lambda match: uid_of(match, SERIES_UID),
    )
    for series in every:
        series_url = f"{url}/{uid_of(series, SERIES_UID)}"
        expected = _count(series, _INSTANCES_IN_SERIES)
        found = _found(f"{series_url}/instances", query.keys[Level.INSTANCE], SOP_UID, access, expected=expected)
        instances = {uid_of(match, SOP_UID): _size_bytes(match) for match in found}
        if per_series:
            yield _item(series_url, instances)
        else:
            yield from (_item(f"{series_url}/instances/{uid}", {uid: instances[uid]}) for uid in sorted(instances))


def _found(url: str, keys: Keys, tag: str, access: Access, expected: int | None = None) -> Iterator[Match]:
    """What a search finds and the server was asked for."""
    return filter(keys.fit, search(url, keys.query(), tag, access, expected=expected))


def _item(url: str, instances: Mapping[str, int]) -> Item:
    return Item(url, of_instances(instances), (DicomwebPart(url),), sum(instances.values()))


def _count(match: Match, tag: str) -> int | None:
    try:
        return int(first_value(match, tag))
    except (TypeError, ValueError):
        return None


def _size_bytes(instance: Match) -> int:
    """About what an instance takes, not compressed; servers need not say what it is made of."""
    rows, columns, bits, frames = (_count(instance, tag) or usual for tag, usual in _USUAL.items())
    return rows * columns * ((bits + 7) // 8) * frames + _HEADER_BYTES


def _run_error(fault: ArchiveFault, root: str) -> RunError:
    message = f"{root}: {fault.message}"
    return ServerGone(message) if fault.code == ARCHIVE_UNREACHABLE else ServerRefuses(message)
