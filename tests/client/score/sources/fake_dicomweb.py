"""A DICOMweb server of a test's making: well-behaved, but for what a test tells it to do wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from radserve_client.score.read import close_connections
from tests.client.fake_service import Asked, Reply, serving

BOUNDARY = "part-of-the-answer"
ROOT = "/dicom-web"


def part10(sop_instance_uid: str, body: bytes = b"pixels") -> bytes:
    """A file with just the file meta information that is looked at."""
    uid = sop_instance_uid.encode()
    uid += b"\0" * (len(uid) % 2)
    version = b"\x02\x00\x01\x00OB\0\0\x02\x00\x00\x00\x00\x01"
    return bytes(128) + b"DICM" + version + b"\x02\x00\x03\x00UI" + len(uid).to_bytes(2, "little") + uid + body


def multipart(parts: list[bytes]) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def related(body: bytes, **headers: str) -> Reply:
    kind = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
    return Reply(200, body, {"Content-Type": kind, **headers})


def dicom_json(results: list[dict[str, Any]], **headers: str) -> Reply:
    return Reply(200, json.dumps(results).encode(), {"Content-Type": "application/dicom+json", **headers})


def element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}


@dataclass
class Archive:
    """Study UID to series UID to SOP Instance UIDs; ``page`` makes a page of the results, limit and offset in mind.

    With ``counts`` a study says how many series it has, and these how many instances; ``uncounted`` too few.
    """

    studies: dict[str, dict[str, list[str]]]
    modality: Mapping[str, str] = field(default_factory=dict)
    page: Callable[[list[dict[str, Any]], int, int], Reply] = field(
        default=lambda results, limit, offset: dicom_json(results[offset : offset + limit])
    )
    counts: bool = True
    uncounted: int = 0
    before: Callable[[Asked], Reply | None] = field(default=lambda asked: None)

    def answer(self, asked: Asked) -> Reply:
        wrong = self.before(asked)
        if wrong is not None:
            return wrong
        parts = urlsplit(asked.target)
        query = dict(parse_qsl(parts.query))
        steps = [step for step in re.split("/", parts.path.removeprefix(ROOT)) if step]
        if "limit" in query:
            return self.page(self._results(steps), int(query["limit"]), int(query["offset"]))
        return related(multipart([part10(uid) for uid in reversed(self._instances(steps))]))

    def _results(self, steps: list[str]) -> list[dict[str, Any]]:
        match steps:
            case ["studies"]:
                return [self._study(uid) for uid in self.studies]
            case ["studies", study, "series"]:
                return [self._series(study, uid) for uid in self.studies[study]]
            case ["studies", study, "series", series, "instances"]:
                return [{"00080018": element("UI", uid)} for uid in self.studies[study][series]]
        raise AssertionError(steps)

    def _study(self, uid: str) -> dict[str, Any]:
        kinds = sorted({self.modality.get(series, "CT") for series in self.studies[uid]})
        found = {"0020000D": element("UI", uid), "00080061": element("CS", *kinds)}
        return found | ({"00201206": element("IS", len(self.studies[uid]) - self.uncounted)} if self.counts else {})

    def _series(self, study: str, uid: str) -> dict[str, Any]:
        found = {"0020000E": element("UI", uid), "00080060": element("CS", self.modality.get(uid, "CT"))}
        return found | (
            {"00201209": element("IS", len(self.studies[study][uid]) - self.uncounted)} if self.counts else {}
        )

    def _instances(self, steps: list[str]) -> list[str]:
        match steps:
            case ["studies", study, "series", series]:
                return self.studies[study][series]
            case ["studies", _, "series", _, "instances", instance]:
                return [instance]
        raise AssertionError(steps)


@contextmanager
def dicomweb(archive: Archive) -> Iterator[tuple[str, list[Asked]]]:
    """The URL to score, and what was asked."""
    with serving(archive.answer) as server:
        try:
            yield f"dicomweb+{server.url}{ROOT}", server.asked
        finally:
            close_connections()
