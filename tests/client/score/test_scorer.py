"""The worker's answer on a study, against what the service says over HTTP of the same bytes and the same networks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import BasicTextSRStorage

from radserve_client.score.errors import WrongUse
from radserve_client.score.item import FilePart, Item
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.read import Access
from radserve_client.score.scorer import Scorer
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.sources.files import item_of_files
from radserve_client.score.way import Ask, Broke, Busy, Content, Gone
from radserve_client.score.worker import score_item
from radserve_preproc.errors import BadModelOutput, DeadlineExceeded, ModelFailed
from radserve_preproc.errors import Busy as TritonBusy
from tests.dicom_files import make_object, make_radiograph
from tests.fake_triton import FakeTriton, published, spine_outputs
from tests.fake_triton_server import Servicer, served_in_thread
from tests.live_service import LiveService
from tests.mock_films import NORMAL

FILM = make_radiograph()
SPINE = Ask("spine")
BAD = {
    "text": b"not an image at all, only words",
    "empty": b"",
    "truncated": FILM[: len(FILM) // 2],
    "structured report": make_object(BasicTextSRStorage, "SR"),
    "wrong modality": make_radiograph(Modality="MR"),
    "wrong body part": make_radiograph(BodyPartExamined="KNEE", StudyDescription="Knee"),
}


@pytest.fixture(scope="module")
def triton() -> FakeTriton:
    return FakeTriton()


@pytest.fixture(scope="module")
def servicer(triton: FakeTriton) -> Servicer:
    return Servicer(triton)


@pytest.fixture(scope="module")
def address(servicer: Servicer) -> Iterator[str]:
    """A server that speaks Triton's protocol."""
    with served_in_thread(servicer) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    """The service before the same networks."""
    with LiveService(FakeTriton()) as live:
        yield live


def item_of(folder: Path, *contents: bytes) -> Item:
    paths = [folder / f"{number}.dcm" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return item_of_files(str(folder), [str(path) for path in paths])


def with_scorer(address: str, work: Callable[[Scorer], Awaitable[Any]], ask: Ask = SPINE) -> Any:
    async def run() -> Any:
        scorer = Scorer(ScorerOptions(ask, Access(), (address,), threads=1))
        try:
            return await work(scorer)
        finally:
            await scorer.close()

    return asyncio.run(run())


def scored(address: str, item: Item, ask: Ask = SPINE) -> Any:
    return with_scorer(address, lambda scorer: score_item(scorer, item, patience_s=0), ask)


def without_timings(document: Any) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("timings_s", "request_id")}


def test_the_document_is_the_services_own(address: str, service: LiveService, tmp_path: Path) -> None:
    answer = scored(address, item_of(tmp_path, FILM))
    assert isinstance(answer, Scored)
    assert without_timings(answer.document) == without_timings(service.predict(FILM).json())
    assert {"decode", "decode_wait"} <= set(answer.document["timings_s"])
    assert (answer.content_sha256, answer.size_bytes) == (sha256(FILM).hexdigest(), len(FILM))
    assert (answer.overlay, answer.mask) == (None, None)


@pytest.mark.parametrize("name", BAD)
def test_what_the_service_refuses_is_refused_with_the_same_words(
    name: str, address: str, service: LiveService, tmp_path: Path
) -> None:
    outcome = scored(address, item_of(tmp_path, BAD[name]))
    response = service.predict(BAD[name])
    error = response.json()["error"]
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.message, outcome.http_status) == (
        error["code"],
        error["message"],
        response.status_code,
    )
    assert outcome.content_sha256 == sha256(BAD[name]).hexdigest()
    assert not outcome.transient


def test_two_files_for_a_pipeline_of_single_images_are_refused(address: str, tmp_path: Path) -> None:
    outcome = scored(address, item_of(tmp_path, FILM, FILM))
    assert (outcome.code, outcome.http_status) == ("TOO_MANY_FILES", 400)


def test_what_is_over_the_limit_is_refused_without_being_read(address: str, tmp_path: Path) -> None:
    item = Item("huge", "", (FilePart(str(tmp_path / "never opened")),), 65 * 1024**2)
    outcome = scored(address, item)
    assert (outcome.code, outcome.http_status, outcome.content_sha256) == ("TOO_LARGE", 413, None)
    assert outcome.size_bytes == item.size_bytes


def test_a_file_that_is_gone_fails_with_the_readers_code(address: str, tmp_path: Path) -> None:
    outcome = scored(address, Item("x", "", (FilePart(str(tmp_path / "gone.dcm")),), 1))
    assert isinstance(outcome, Failed)
    assert outcome.http_status is None
    assert outcome.content_sha256 is None


def test_an_overlay_is_drawn_from_the_same_analysis(
    address: str, servicer: Servicer, service: LiveService, tmp_path: Path
) -> None:
    servicer.requests.clear()
    answer = scored(address, item_of(tmp_path, FILM), Ask("spine", overlay=True))
    assert answer.overlay == service.predict(FILM, headers={"Accept": "image/png"}).content
    assert answer.mask is None
    assert len(servicer.requests) == 2, "classified once, and looked for lesions once"


def test_detect_is_the_callers(address: str, tmp_path: Path) -> None:
    answer = scored(address, item_of(tmp_path, FILM), Ask("spine", detect="never"))
    assert answer.document["detections"]["ran"] is False


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (Ask("spines"), "no pipeline spines; there are spine"),
        (Ask("spine", profile="depleted"), "spine has no profile depleted; there are deployed"),
        (Ask("spine", detect="sometimes"), "--detect"),
        (Ask("spine", series="1.2.3"), "spine reads single images"),
        (Ask("covid_lung", series="first"), "--series"),
        (Ask("spine", mask=True), "--mask: spine marks no pixels"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_item(ask: Ask, said: str, address: str) -> None:
    async def nothing(scorer: Scorer) -> None:
        raise AssertionError("it was made")

    with pytest.raises(WrongUse, match=said):
        with_scorer(address, nothing, ask)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (TritonBusy("full", retry_after_s=3), Busy),
        (DeadlineExceeded("late"), Broke),
        (ModelFailed("oops"), Broke),
    ],
)
def test_the_servers_own_troubles_are_no_failures_of_the_item(
    raised: Exception, told: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = FakeTriton(_raising(raised))
    assert isinstance(_outcome_with(failing, tmp_path, monkeypatch), told)


def test_an_answer_that_no_network_can_give_is_a_failure_of_the_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = _outcome_with(FakeTriton(_raising(BadModelOutput("NaN"))), tmp_path, monkeypatch)
    assert (outcome.code, outcome.http_status) == ("BAD_MODEL_OUTPUT", 502)


def test_a_defect_fails_the_item_as_it_fails_a_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = _outcome_with(FakeTriton(_raising(ZeroDivisionError("CANARY"))), tmp_path, monkeypatch)
    assert (outcome.code, outcome.http_status) == ("INTERNAL_ERROR", 500)
    assert "ZeroDivisionError" in caplog.text
    assert "CANARY" not in caplog.text, "an exception may quote a header"


def test_nobody_there_is_gone_and_back_again_is_found(tmp_path: Path) -> None:
    triton = FakeTriton()
    item = item_of(tmp_path, NORMAL)
    with served_in_thread(Servicer(triton)) as port:
        pass  # a port where nobody listens any more
    address = f"127.0.0.1:{port}"

    async def work(scorer: Scorer) -> Any:
        with pytest.raises(Gone) as caught:
            await score_item(scorer, item, patience_s=0)
        assert caught.value.code == "TRITON_UNAVAILABLE"
        async with asyncio.timeout(300):
            with served_in_thread(Servicer(triton), port) as _:
                while True:
                    try:
                        return await score_item(scorer, item, patience_s=0)
                    except Gone:
                        await asyncio.sleep(0.1)

    assert isinstance(with_scorer(address, work), Scored)


def test_models_that_are_not_ready_are_gone_too(address: str, triton: FakeTriton, tmp_path: Path) -> None:
    model = next(iter(triton.models))
    triton.not_ready.add(model)
    try:
        with pytest.raises(Gone) as caught:
            scored(address, item_of(tmp_path, FILM))
    finally:
        triton.not_ready.clear()
    assert caught.value.code == "MODEL_NOT_READY"


def test_other_models_show_in_the_answer(tmp_path: Path) -> None:
    from radserve_contract.pipelines.spine import DEPLOYED

    released = FakeTriton(spine_outputs(), published(DEPLOYED, release="b"))
    with served_in_thread(Servicer(released)) as port:
        answer = scored(f"127.0.0.1:{port}", item_of(tmp_path, FILM))
    digests = {model["digest"] for model in answer.document["models"]}
    assert all(digest.startswith("62") for digest in digests), "0x62 is b"


def _raising(error: Exception) -> Callable[..., Any]:
    def answer(model: str, tensors: Any) -> Any:
        raise error

    return answer


def _outcome_with(triton: FakeTriton, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a scorer says of a good film when ``triton``, without gRPC between, answers it."""
    monkeypatch.setattr("radserve_client.score.scorer.TritonGrpc", lambda *_: triton)
    try:
        return scored("127.0.0.1:1", item_of(folder, FILM))
    except Exception as error:
        return error


def test_the_content_of_no_file_at_all_is_refused(address: str) -> None:
    async def work(scorer: Scorer) -> Any:
        return await scorer.score(Item("x", "", (), 0), Content((), "", 0))

    assert with_scorer(address, work).code == "NO_FILE"
