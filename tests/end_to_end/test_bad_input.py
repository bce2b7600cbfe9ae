"""Everything bad that can be sent, to the real service before the real networks.

Each gets its own code in the one error shape; after it nothing is left on the disk and a good film is still answered.
"""

from __future__ import annotations

import http.client
import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom import uid

from tests.dicom_files import make_object, make_radiograph, texture
from tests.end_to_end.conftest import UPLOAD_LIMIT_BYTES
from tests.predicting import FILE_NAME, PREDICT, assert_no_patient, findings, post, refusal
from tests.service_process import ServiceProcess

MAY_GROW_BY_BYTES = 300 * 1024**2


@pytest.fixture(autouse=True)
def still_well(service: ServiceProcess, http: httpx.Client) -> Iterator[None]:
    """Whatever the test sent: nothing on the disk, no memory taken for good, and the next film is answered."""
    before = resident_bytes(service)
    yield
    assert service.files_left() == []
    assert resident_bytes(service) < before + MAY_GROW_BY_BYTES
    answer = findings(post(http, make_radiograph(), detect="never"))
    assert answer["decision"]["label"] in ("normal", "abnormal")


def resident_bytes(service: ServiceProcess) -> int:
    """The most memory the process ever held."""
    with open(f"/proc/{service.child.process.pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def png(mode: str = "L", size: tuple[int, int] = (256, 320)) -> bytes:
    file = io.BytesIO()
    Image.fromarray(texture(size[1], size[0], bits=8).astype(np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


def cut(film: bytes, share: float = 0.6) -> bytes:
    """The beginning of a file, as an interrupted copy leaves it."""
    return film[: int(share * len(film))]


def cut_in_header() -> bytes:
    film = make_radiograph(StudyDescription="Lumbar spine, two views")
    return film[: film.index(b"two views")]


def colour() -> bytes:
    return make_radiograph(np.stack([texture(200, 200, bits=8, seed=seed).astype(np.uint8) for seed in (0, 1, 2)], -1))


@dataclass(frozen=True)
class BadFile:
    """A file, and how it must be refused. ``says`` is in the message."""

    name: str
    status: int
    code: str
    says: str
    content: Callable[[], bytes]


BAD_FILES = [
    BadFile("text", 415, "UNSUPPORTED_FILE", "text", lambda: b"Dear doctor, the films are attached.\n" * 20),
    BadFile("a PDF", 415, "UNSUPPORTED_FILE", "PDF", lambda: b"%PDF-1.7\n" + b"x" * 500),
    BadFile("a zip", 415, "UNSUPPORTED_FILE", "zip", lambda: b"PK\x03\x04" + b"x" * 500),
    BadFile("random bytes", 415, "UNSUPPORTED_FILE", "", lambda: np.random.default_rng(1).bytes(4096)),
    BadFile("one byte", 415, "UNSUPPORTED_FILE", "", lambda: b"x"),
    BadFile("a PNG cut off", 422, "CORRUPT_IMAGE", "", lambda: cut(png())),
    BadFile("a colour picture", 422, "COLOUR_IMAGE", "", colour),
    BadFile("only the DICOM preamble", 422, "CORRUPT_DICOM", "", lambda: make_radiograph()[:132]),
    BadFile("DICOM cut off in the header", 422, "CORRUPT_DICOM", "", lambda: cut_in_header()),
    BadFile("DICOM cut off in the pixels", 422, "BAD_PIXEL_DATA", "cut off", lambda: cut(make_radiograph())),
    BadFile(
        "compressed DICOM cut off, which parses as an empty data set",
        422,
        "CORRUPT_DICOM",
        "cut off",
        lambda: cut(make_radiograph(transfer_syntax=uid.JPEG2000Lossless)),
    ),
    BadFile(
        "deflated DICOM cut off",
        422,
        "CORRUPT_DICOM",
        "cut off",
        lambda: cut(make_radiograph(transfer_syntax=uid.DeflatedExplicitVRLittleEndian)),
    ),
    BadFile(
        "a deflate bomb",
        413,
        "TOO_LARGE",
        "inflates",
        lambda: deflate_bomb(),
    ),
    BadFile("DICOM without pixel data", 422, "MISSING_ELEMENT", "(7FE0,0010)", lambda: make_radiograph(PixelData=None)),
    BadFile(
        "a structured report",
        422,
        "NOT_AN_IMAGE",
        "Comprehensive SR Storage",
        lambda: make_object(uid.ComprehensiveSRStorage, "SR"),
    ),
    BadFile(
        "an encapsulated PDF",
        422,
        "NOT_AN_IMAGE",
        "Encapsulated PDF Storage",
        lambda: make_object(uid.EncapsulatedPDFStorage, "DOC", EncapsulatedDocument=b"%PDF-1.7 "),
    ),
    BadFile(
        "a structure set",
        422,
        "NOT_AN_IMAGE",
        "RT Structure Set Storage",
        lambda: make_object(uid.RTStructureSetStorage, "RTSTRUCT"),
    ),
    BadFile("several frames", 422, "MULTI_FRAME", "(0028,0008)", lambda: make_radiograph(NumberOfFrames=2)),
    BadFile(
        "another body part",
        422,
        "WRONG_BODY_PART",
        "KNEE",
        lambda: make_radiograph(BodyPartExamined="KNEE", StudyDescription=""),
    ),
    BadFile("another modality", 422, "WRONG_MODALITY", "MG", lambda: make_radiograph(Modality="MG")),
    BadFile(
        "fewer pixels than Rows x Columns", 422, "BAD_PIXEL_DATA", "(7FE0,0010)", lambda: make_radiograph(Rows=640)
    ),
    BadFile("no Rows", 422, "MISSING_ELEMENT", "(0028,0010)", lambda: make_radiograph(Rows=None)),
    BadFile(
        "65535 x 65535 pixels by its header",
        422,
        "IMAGE_TOO_LARGE",
        "65535",
        lambda: make_radiograph(Rows=65535, Columns=65535),
    ),
    BadFile(
        "65535 x 65535 pixels by its compressed header",
        422,
        "IMAGE_TOO_LARGE",
        "65535",
        lambda: make_radiograph(transfer_syntax=uid.RLELossless, Rows=65535, Columns=65535),
    ),
    BadFile("no rows at all", 422, "BAD_PIXEL_DATA", "0 rows", lambda: make_radiograph(Rows=0)),
    BadFile("a thumbnail", 422, "IMAGE_TOO_SMALL", "", lambda: make_radiograph(texture(16, 16))),
    BadFile(
        "a constant image", 422, "CONSTANT_IMAGE", "", lambda: make_radiograph(np.full((320, 256), 700, np.uint16))
    ),
    BadFile(
        "a video's transfer syntax",
        422,
        "UNSUPPORTED_TRANSFER_SYNTAX",
        "(0002,0010)",
        lambda: make_radiograph(transfer_syntax=uid.MPEG2MPML, encoded=b"\0\0\1\xb3" * 64),
    ),
    BadFile(
        "compressed pixels that are garbage",
        422,
        "BAD_PIXEL_DATA",
        "(7FE0,0010)",
        lambda: make_radiograph(transfer_syntax=uid.JPEG2000Lossless, encoded=b"\xff\x4f" + b"garbage!" * 64),
    ),
]


def deflate_bomb() -> bytes:
    """A small file whose data set inflates to more than half a gigabyte of zeros."""
    film = make_radiograph(transfer_syntax=uid.DeflatedExplicitVRLittleEndian)
    meta_length = 132 + 12 + int.from_bytes(film[140:144], "little")
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    # after a full flush a block depends on nothing before it, so it can be repeated
    block = deflate.compress(bytes(16 * 1024**2)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return film[:meta_length] + 40 * block + deflate.flush()


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_a_bad_file_gets_its_code(http: httpx.Client, bad: BadFile) -> None:
    error = refusal(post(http, bad.content()), bad.status, bad.code)
    assert bad.says in error["message"]


@pytest.mark.parametrize(
    ("sample", "code"),
    [
        ("nasty/truncated_j2k_ct.dcm", "CORRUPT_DICOM"),
        ("nasty/sop_structured_report.dcm", "NOT_AN_IMAGE"),
        ("nasty/sop_encapsulated_pdf.dcm", "NOT_AN_IMAGE"),
        ("nasty/sop_rtstruct_no_meta.dcm", "NOT_AN_IMAGE"),
        ("nasty/sop_waveform_deflated.dcm", "NOT_AN_IMAGE"),
        ("nasty/DICOMDIR", "NOT_AN_IMAGE"),
        ("nasty/missing_pixeldata_cr.dcm", "MISSING_ELEMENT"),
    ],
)
def test_a_bad_real_file_gets_its_code(http: httpx.Client, sample_data, sample: str, code: str) -> None:
    refusal(post(http, (sample_data / sample).read_bytes()), 422, code)


class TestRequest:
    def test_without_a_body(self, http: httpx.Client) -> None:
        refusal(http.post(PREDICT), 400, "EMPTY_FILE")

    def test_with_an_empty_file(self, http: httpx.Client) -> None:
        refusal(post(http, b""), 400, "EMPTY_FILE")

    def test_without_a_file_part(self, http: httpx.Client) -> None:
        refusal(http.post(PREDICT, files={"image": (FILE_NAME, make_radiograph())}), 400, "NO_FILE")
        refusal(http.post(PREDICT, files={"note": (None, "see attachment")}), 400, "NO_FILE")

    def test_with_two_files(self, http: httpx.Client) -> None:
        parts = [("file", (FILE_NAME, make_radiograph())), ("file", ("b.dcm", make_radiograph()))]
        refusal(http.post(PREDICT, files=parts), 400, "TOO_MANY_FILES")

    def test_that_is_no_multipart_form(self, http: httpx.Client) -> None:
        refusal(http.post(PREDICT, json={"file": "film.dcm"}), 400, "BAD_REQUEST")
        refusal(http.post(PREDICT, content=make_radiograph()), 400, "BAD_REQUEST")

    def test_that_ends_before_its_last_boundary(self, http: httpx.Client) -> None:
        request = http.build_request("POST", PREDICT, files={"file": (FILE_NAME, make_radiograph())})
        content = request.read()[:-30]
        response = http.post(PREDICT, content=content, headers={"content-type": request.headers["content-type"]})
        refusal(response, 400, "BAD_REQUEST")

    def test_over_the_size_limit_as_announced_is_refused_before_the_body_comes(self, service: ServiceProcess) -> None:
        address = urlsplit(service.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
        connection.putrequest("POST", PREDICT)
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", str(10 * 1024**4))
        connection.endheaders()
        answer = connection.getresponse()
        response = httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read())
        refusal(response, 413, "TOO_LARGE")
        connection.close()

    def test_over_the_size_limit_in_chunks_is_refused_when_that_much_has_come(self, http: httpx.Client) -> None:
        def body() -> Iterator[bytes]:
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="' + FILE_NAME.encode() + b'"\r\n\r\n'
            for _ in range(UPLOAD_LIMIT_BYTES // 65536 + 8):
                yield bytes(65536)
            yield b"\r\n--x--\r\n"

        headers = {"content-type": "multipart/form-data; boundary=x"}
        error = refusal(http.post(PREDICT, content=body(), headers=headers), 413, "TOO_LARGE")
        assert error["details"]["limit_bytes"] == UPLOAD_LIMIT_BYTES

    def test_just_over_the_size_limit(self, http: httpx.Client) -> None:
        refusal(post(http, bytes(UPLOAD_LIMIT_BYTES + 1)), 413, "TOO_LARGE")

    def test_of_exactly_the_size_limit_is_judged_by_its_content(self, http: httpx.Client) -> None:
        refusal(post(http, bytes(UPLOAD_LIMIT_BYTES)), 415, "UNSUPPORTED_FILE")

    def test_for_a_pipeline_that_does_not_exist(self, http: httpx.Client) -> None:
        refusal(post(http, make_radiograph(), path="/v1/pipelines/foot/predict"), 404, "UNKNOWN_PIPELINE")
        refusal(http.get("/v1/pipelines/foot"), 404, "UNKNOWN_PIPELINE")

    @pytest.mark.parametrize(
        "query",
        [
            {"profile": "foot"},
            {"priority": "asap"},
            {"detect": "perhaps"},
            {"overlay": "heat"},
            {"overlay_size": "poster"},
            {"colour": "red"},
            {"Priority": "stat"},
        ],
        ids=str,
    )
    def test_with_an_unknown_profile_or_query_value(self, http: httpx.Client, query: dict[str, str]) -> None:
        error = refusal(post(http, make_radiograph(), **query), 400, "BAD_REQUEST")
        assert not set(query.values()) & set(error["message"].split())

    def test_with_a_method_that_is_not_there(self, http: httpx.Client) -> None:
        response = http.get(PREDICT)
        refusal(response, 405, "METHOD_NOT_ALLOWED")
        assert response.headers["allow"] == "POST"

    def test_for_an_address_that_is_not_there(self, http: httpx.Client) -> None:
        refusal(http.get("/v2/health/ready"), 404, "NOT_FOUND")

    def test_that_accepts_nothing_we_have(self, http: httpx.Client) -> None:
        refusal(post(http, make_radiograph(), accept="application/pdf"), 406, "NOT_ACCEPTABLE")

    def test_for_a_profile_that_is_not_loaded(self, http: httpx.Client) -> None:
        error = refusal(post(http, make_radiograph(), profile="published"), 503, "PROFILE_NOT_LOADED")
        assert "published" in error["message"]


def test_nothing_of_the_patients_is_in_logs_or_metrics(http: httpx.Client, service: ServiceProcess) -> None:
    """After all the films and file names above, which carry a name, an id and a date."""
    post(http, make_radiograph(), detect="never")
    assert '"event": "request"' in service.log, "requests are not logged, so nothing was proved"
    assert_no_patient(service.log)
    assert_no_patient(http.get("/metrics").text)
