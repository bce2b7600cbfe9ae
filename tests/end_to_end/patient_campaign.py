"""Everything that can be sent and can go wrong, with a patient's name wherever there is room for one.

``run_campaign`` sends it to a running service; what the service and its surroundings then hold is searched by
``test_patient_data.py``.
"""

from __future__ import annotations

import gzip
import io
import socket
import threading
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydicom import uid

from radserve_devstack.phantoms.ct import CtPhantom, ct_phantom
from tests.dicom_files import make_object, make_radiograph, texture
from tests.live_service import wait_for
from tests.patient_marks import (
    BIRTH_DATE,
    FILE_NAME,
    FOREIGN,
    NAME,
    PATIENT_ID,
    UIDS,
    marked_dicom,
    marked_nifti,
    marked_png,
)

LIMIT_BYTES = 4 * 1024**2
SERIES_LIMIT_BYTES = 16 * 1024**2
KINDS = {"hemorrhage": "head", "head_ct": "head", "abdominal_trauma": "abdomen", "covid_lung": "chest"}
PICTURES = {
    "spine": ({"overlay": "boxes"}, {"overlay": "boxes", "overlay_size": "full", "detect": "always"}),
    "hemorrhage": ({"overlay": "slice"}, {"overlay": "plot"}),
    "head_ct": ({"overlay": "montage"},),
    "abdominal_trauma": ({"overlay": "summary"}, {"overlay": "gradcam"}),
    "covid_lung": ({"overlay": "heatmap"}, {"overlay": "heatmap", "scale": "auto"}),
}
HEADERS = {
    "User-Agent": f"pacs/{NAME}",
    "X-Request-ID": f"{NAME}-{BIRTH_DATE}",
    "X-Patient": f"{NAME} {PATIENT_ID}",
    "Referer": f"http://ris/{NAME}?id={PATIENT_ID}",
    "Cookie": f"patient={NAME}",
    "Authorization": f"Bearer {NAME}",
    "X-Forwarded-For": NAME,
    "Accept-Language": NAME,
    "tracestate": f"ris={NAME}",
    "baggage": f"patient={NAME},id={PATIENT_ID}",
}


@dataclass(frozen=True)
class Answer:
    """What came back to one request."""

    what: str
    status: int
    code: str
    headers: str
    body: bytes


def answer_of(what: str, response: httpx.Response) -> Answer:
    code = response.json()["error"]["code"] if response.status_code >= 400 else ""
    return Answer(what, response.status_code, code, str(response.headers), response.content)


@cache
def film() -> bytes:
    return marked_dicom(make_radiograph())


@cache
def phantom(kind: str) -> CtPhantom:
    return ct_phantom(kind, slices=20, size=128)


@cache
def series(kind: str) -> tuple[bytes, ...]:
    plain = phantom(kind).dicom_files(is_signed=kind == "head")
    return tuple(marked_dicom(content, number, BodyPartExamined=kind.upper()) for number, content in enumerate(plain))


def zipped(files: Iterable[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = f"{NAME} {PATIENT_ID}".encode()
        for number, content in enumerate(files):
            archive.writestr(f"{NAME}^{FOREIGN}/{BIRTH_DATE}/{PATIENT_ID} {number}", content)
    return file.getvalue()


class Campaign:
    """Sends requests and keeps what comes back."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=120, headers=HEADERS)
        self.answers: list[Answer] = []

    def send(self, what: str, pipeline: str, files: Iterable[bytes], accept: str = "*/*", **query: str) -> Answer:
        parts = [("file", (FILE_NAME, content)) for content in files]
        path = f"/v1/pipelines/{pipeline}/predict"
        return self.keep(what, self.http.post(path, files=parts, params=query, headers={"accept": accept}))

    def keep(self, what: str, response: httpx.Response) -> Answer:
        self.answers.append(answer_of(what, response))
        return self.answers[-1]

    def successes(self) -> None:
        """Every pipeline, every kind of upload, every picture, the mask."""
        self.send("spine", "spine", [film()])
        self.send("spine in UTF-8", "spine", [marked_dicom(make_radiograph(), character_set="ISO_IR 192")])
        packed = make_radiograph(transfer_syntax=uid.JPEG2000Lossless)
        self.send("spine in JPEG 2000", "spine", [marked_dicom(packed)])
        self.send("spine as PNG", "spine", [marked_png()])
        self.send("spine with odd values", "spine", [_odd()])
        for pipeline, kind in KINDS.items():
            self.send(f"{pipeline} as files", pipeline, series(kind))
            self.send(f"{pipeline} as zip", pipeline, [zipped(series(kind))])
            if pipeline != "hemorrhage":  # it reads the stored values, which a NIfTI does not have
                self.send(f"{pipeline} of a NIfTI", pipeline, [gzip.compress(marked_nifti(phantom(kind).nifti()), 1)])
        for pipeline, pictures in PICTURES.items():
            study = [film()] if pipeline == "spine" else series(KINDS[pipeline])
            for query in pictures:
                self.send(f"{pipeline} {query}", pipeline, study, accept="image/png", **query)
        self.send("covid_lung mask", "covid_lung", series("chest"), accept="application/x-nifti")
        self.send("one series of two", "head_ct", [*series("head"), *_other_series()], series=f"{UIDS}.2")

    def failures(self) -> None:
        """Every refusal that a file or a request earns."""
        for what, content in bad_films().items():
            self.send(f"spine: {what}", "spine", [content])
        for what, files in bad_series().items():
            self.send(f"head_ct: {what}", "head_ct", files)
        self.requests()

    def requests(self) -> None:
        """Requests that are wrong themselves."""
        predict = "/v1/pipelines/spine/predict"
        for key in ("profile", "priority", "detect", "overlay", "overlay_size", "head", "series", NAME):
            self.send(f"query {key}", "spine", [film()], **{key: NAME})
        self.send("head of abdominal_trauma", "abdominal_trauma", [film()], overlay="gradcam", head=NAME)
        self.send("unknown series", "head_ct", series("head"), series="1.2.3.18991231")
        self.send("profile not loaded", "spine", [film()], profile="published")
        self.send("accept", "spine", [film()], accept=f"text/{NAME}")
        self.send("unknown pipeline", NAME, [film()])
        self.send("empty", "spine", [b""])
        self.send("two films", "spine", [film(), film()])
        self.send("too large", "spine", [film() + bytes(LIMIT_BYTES)])
        self.keep("no file", self.http.post(predict, files={NAME: (FILE_NAME, film())}))
        self.keep("no multipart", self.http.post(predict, content=film(), headers={"content-type": f"text/{NAME}"}))
        boundary = {"content-type": f"multipart/form-data; boundary={NAME}"}
        self.keep("cut off", self.http.post(predict, content=f"--{NAME}\r\n{NAME}: x".encode(), headers=boundary))
        self.keep("address", self.http.get(f"/{NAME}/{PATIENT_ID}", params={NAME: BIRTH_DATE}))
        self.keep("pipeline page", self.http.get(f"/v1/pipelines/{NAME}"))
        self.keep("method", self.http.request("DELETE", predict, params={"patient": NAME}))
        self.keep("invented method", self.http.request(NAME.upper(), predict))
        self.keep("probe", self.http.get("/readyz", params={NAME: NAME}))

    def busy(self, url: str, held: Callable[[], float]) -> None:
        """429, while another upload that is coming in takes the memory; then its client hangs up."""
        address = urlsplit(url)
        head = (
            f"POST /v1/pipelines/covid_lung/predict?priority=routine HTTP/1.1\r\nHost: {NAME}\r\nX-Patient: {NAME}\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {SERIES_LIMIT_BYTES - 50_000}\r\n\r\n"
            f'--x\r\nContent-Disposition: form-data; name="file"; filename="{NAME}"\r\n\r\n{NAME}'
        )
        with socket.create_connection((address.hostname, address.port), timeout=60) as waiting:
            waiting.sendall(head.encode())
            wait_for(lambda: held() > LIMIT_BYTES, 60)
            self.send("busy", "spine", [film()])
        wait_for(lambda: held() == 0, 60)

    def raw(self, url: str) -> None:
        """What is no HTTP request."""
        address = urlsplit(url)
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            connection.sendall(f"{NAME} {FOREIGN} {PATIENT_ID}\r\n\r\n".encode())
            content = b""
            while piece := connection.recv(65536):
                content += piece
        head, _, body = content.partition(b"\r\n\r\n")
        self.answers.append(Answer("no HTTP", int(head.split()[1]), "BAD_REQUEST", head.decode("latin-1"), body))


def _odd() -> bytes:
    """Values that libraries complain of, with their value."""
    return marked_dicom(make_radiograph(WindowCenter="123456")).replace(b"123456", NAME[:6].encode())


def _other_series() -> list[bytes]:
    plain = phantom("head").dicom_files(is_signed=True)
    return [
        marked_dicom(content, 100 + n, SeriesInstanceUID=f"{UIDS}.9", SOPInstanceUID=f"{UIDS}.8.{n}")
        for n, content in enumerate(plain)
    ]


@cache
def bad_films() -> dict[str, bytes]:
    """Films that are refused, or answered with a warning, each with the patient in it."""
    text = f"{NAME} {PATIENT_ID} {FOREIGN}\n" * 40
    plain = make_radiograph()
    header = film().index(b"\xe0\x7f\x10\x00")
    return {
        "text": text.encode(),
        "latin-1": text.encode("latin-1"),
        "PDF": b"%PDF-1.7\n" + text.encode(),
        "zip": zipped([film()]),
        "no preamble": film()[132:],
        "cut in the header": film()[: header // 2],
        "cut in the pixels": film()[: len(film()) * 2 // 3],
        "PNG cut off": marked_png()[:600],
        "modality": marked_dicom(plain, Modality=NAME.upper()),
        "body part": marked_dicom(plain, BodyPartExamined="KNEE", StudyDescription=f"KNEE {NAME}"),
        "photometric": marked_dicom(plain, PhotometricInterpretation=NAME.upper()),
        "frames": marked_dicom(plain, NumberOfFrames=2),
        "no pixels": marked_dicom(plain, PixelData=None),
        "rows": marked_dicom(plain, Rows=60000, Columns=60000),
        "bits": marked_dicom(plain, BitsStored=60),
        "constant": marked_dicom(make_radiograph(texture(320, 256) * 0 + 7)),
        "tiny": marked_dicom(make_radiograph(texture(16, 16))),
        "report": marked_dicom(make_object(uid.ComprehensiveSRStorage, "SR")),
        "unknown class": marked_dicom(plain, SOPClassUID=f"{UIDS}.7"),
        "garbage code stream": marked_dicom(
            make_radiograph(
                transfer_syntax=uid.JPEG2000Lossless, encoded=b"\xff\x4f" + f"{NAME}{FOREIGN}".encode() * 64
            )
        ),
        "video": marked_dicom(make_radiograph(transfer_syntax=uid.MPEG2MPML, encoded=NAME.encode() * 64)),
    }


TOLERATED = {
    *("spine: no preamble", "spine: unknown class", "head_ct: one missing", "head_ct: one twice"),
    *("head_ct: one is text", "head_ct: one of another size", "head_ct: tilted", "head_ct: two series"),
    *("head_ct: not a CT", "head_ct: NIfTI of other numbers"),
}
"""Answered after all, with a warning that must not name the patient either."""


@cache
def bad_series() -> dict[str, list[bytes]]:
    """CT studies that are refused, or answered with a warning."""
    files = list(series("head"))
    volume = marked_nifti(phantom("head").nifti())

    def but_one(**elements: Any) -> list[bytes]:
        return [*files[:9], marked_dicom(phantom("head").dicom_files(is_signed=True)[9], 9, **elements), *files[10:]]

    return {
        "too few": files[:3],
        "one missing": [*files[:9], *files[12:]],
        "one twice": [*files, marked_dicom(files[9], 99)],
        "one cut off": [*files[:9], files[9][:-900], *files[10:]],
        "one is text": [*files, f"{NAME} {PATIENT_ID}".encode() * 30],
        "one of another size": but_one(Rows=64),
        "tilted": but_one(GantryDetectorTilt=17.0, ImageOrientationPatient=[1, 0, 0, 0, 0.95, 0.31]),
        "no position": but_one(ImagePositionPatient=None),
        "no slope": but_one(RescaleSlope=None),
        "two series": [*files, *_other_series()],
        "not a CT": but_one(Modality="MG"),
        "zip cut off": [zipped(files)[:5000]],
        "zip of text": [zipped([f"{NAME} {FOREIGN}".encode() * 30])],
        "zip of nothing": [zipped([])],
        "NIfTI cut off": [volume[:5000]],
        "NIfTI of text": [gzip.compress(NAME.encode() * 200)],
        "NIfTI of other numbers": [volume[:40] + b"\x07\x00" + volume[42:]],
    }


class Watch:
    """A folder in; out: every file that was in it at any time, also deleted ones that are still open, with a mark."""

    def __init__(self, look: Callable[[], list[str]], folder: Path, search: Callable[[bytes], list[str]]) -> None:
        self._look, self._folder, self._search = look, folder, search
        self.seen: set[str] = set()
        self.marked: dict[str, list[str]] = {}
        self.looks = 0
        self._searched: set[tuple[Path, int, int]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.look()
            if self._stop.wait(0.02):
                return

    def look(self) -> None:
        self.looks += 1
        self.seen.update(self._look())
        for path in list(self._folder.rglob("*")):
            try:
                state = (path, path.stat().st_mtime_ns, path.stat().st_size)
                if state in self._searched:
                    continue
                found = self._search(path.name.encode()) + (self._search(path.read_bytes()) if path.is_file() else [])
            except OSError:
                continue  # gone meanwhile
            self._searched.add(state)
            if found:
                self.marked[path.name] = found
