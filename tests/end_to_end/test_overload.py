"""The real service with one place at Triton and four in its queue: who is served, who waits, who is refused, who ran.

Behind it the real tritonserver with mock networks, whose statistics count what really ran.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from radserve_contract.pipelines.spine import DEPLOYED
from radserve_triton.server import TritonServer
from tests.live_service import LiveService
from tests.mock_films import ABNORMAL, NAN, NORMAL, SLOW
from tests.mock_repository import Hold
from tests.predicting import findings, post, refusal
from tests.service_process import ServiceProcess, running_service
from tests.triton_statistics import Ran, ran_in_the_end

QUEUE = 4
TIMEOUT_S = 5.0
"""Of the one test whose deadlines pass."""
NETWORK = DEPLOYED.fusion.members[0].model


@pytest.fixture(scope="module")
def narrow_service(mock_triton: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service that lets one request through to Triton at a time."""
    settings = {"TRITON_IN_FLIGHT": "1", "QUEUE": str(QUEUE), "REQUEST_TIMEOUT_S": "600"}
    with running_service(tmp_path_factory.mktemp("narrow"), mock_triton.grpc_address, **settings) as process:
        yield process
        assert process.files_left() == []


@pytest.fixture
def http(narrow_service: ServiceProcess) -> Iterator[httpx.Client]:
    """A client of it, and the proof that it still answers afterwards."""
    with httpx.Client(base_url=narrow_service.url, trust_env=False, timeout=120) as client:
        yield client
        assert findings(post(client, NORMAL, detect="never"))["decision"]["label"] == "normal"


@dataclass
class Crowd:
    """Clients that ask at the same time, and the order in which they were answered."""

    client: httpx.AsyncClient
    hold: Hold
    answered: list[str] = field(default_factory=list)

    async def ask(self, name: str, film: bytes = NORMAL, **query: str) -> httpx.Response:
        response: httpx.Response = await post(self.client, film, detect="never", **query)  # type: ignore[misc]
        if response.is_success:
            self.answered.append(name)
        return response

    def start(self, name: str, film: bytes = NORMAL, **query: str) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(self.ask(name, film, **query))

    async def until(self, wanted: int, metric: str, **labels: str) -> None:
        """Wait until the service's gauge shows ``wanted``."""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            text = (await self.client.get("/metrics")).text
            if sample(text, metric, gate="triton", **labels) == wanted:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{metric} {labels} never was {wanted}")

    async def occupy(self) -> asyncio.Task[httpx.Response]:
        """Take the one place at Triton until ``hold`` lets go."""
        self.hold.take()
        task = self.start("occupies", SLOW)
        await self.until(1, "radserve_in_flight", work=DEPLOYED.classification)
        return task

    async def fill_queue(self) -> list[asyncio.Task[httpx.Response]]:
        """Take all places of the queue, in this order."""
        tasks = []
        for number in range(QUEUE):
            tasks.append(self.start(f"routine {number}"))
            await self.until(number + 1, "radserve_queue_depth", priority="routine")
        return tasks


def sample(text: str, name: str, **labels: str) -> float:
    """The value of one sample of a metrics page; 0 when there is none."""
    families = text_string_to_metric_families(text)
    values = [
        item.value
        for family in families
        for item in family.samples
        if item.name == name and all(item.labels[key] == value for key, value in labels.items())
    ]
    return values[0] if values else 0.0


def crowd(url: str, hold: Hold, story: Callable[[Crowd], Awaitable[None]]) -> None:
    async def main() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=120, limits=limits) as client:
            await story(Crowd(client, hold))

    asyncio.run(main())


def counted(
    triton: TritonServer, url: str, hold: Hold, story: Callable[[Crowd], Awaitable[None]], *, at_least: int
) -> Ran:
    """What one network ran because of ``story``."""
    before = ran_in_the_end(triton.http_url, NETWORK)
    crowd(url, hold, story)
    return ran_in_the_end(triton.http_url, NETWORK, at_least=before.inferences + at_least) - before


def test_beyond_the_queue_a_study_is_told_when_to_come_back(
    http: httpx.Client, narrow_service: ServiceProcess, hold: Hold
) -> None:
    async def story(people: Crowd) -> None:
        tasks = [await people.occupy(), *await people.fill_queue()]
        response = await people.ask("one too many")
        error = refusal(response, 429, "BUSY")
        assert f"{QUEUE} studies wait" in error["message"]
        assert 1 <= int(response.headers["retry-after"]) <= 60
        hold.let_go()
        assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * 5
        assert people.answered == ["occupies", *(f"routine {number}" for number in range(QUEUE))]

    crowd(narrow_service.url, hold, story)


def test_stat_overtakes_a_full_queue(
    http: httpx.Client, narrow_service: ServiceProcess, mock_triton: TritonServer, hold: Hold
) -> None:
    async def story(people: Crowd) -> None:
        tasks = [await people.occupy(), *await people.fill_queue()]
        stat = people.start("stat", priority="stat")
        await people.until(1, "radserve_queue_depth", priority="stat")
        hold.let_go()
        findings(await stat)
        answers = await asyncio.gather(*tasks)
        assert people.answered == ["occupies", "stat", "routine 0", "routine 1", "routine 2"]
        error = refusal(answers[-1], 429, "BUSY")
        assert "more urgent" in error["message"]

    assert counted(mock_triton, narrow_service.url, hold, story, at_least=5).inferences == 5


def test_a_client_that_hangs_up_in_the_queue_costs_no_network_time(
    http: httpx.Client, narrow_service: ServiceProcess, mock_triton: TritonServer, hold: Hold
) -> None:
    async def story(people: Crowd) -> None:
        tasks = [await people.occupy(), *await people.fill_queue()]
        tasks[1].cancel()  # httpx closes the connection
        tasks[3].cancel()
        await people.until(QUEUE - 2, "radserve_queue_depth", priority="routine")
        hold.let_go()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert people.answered == ["occupies", "routine 1", "routine 3"]

    assert counted(mock_triton, narrow_service.url, hold, story, at_least=3).inferences == 3


def test_a_deadline_that_passes_in_the_queue_costs_no_network_time(mock_triton: TritonServer, hold: Hold) -> None:
    """Triton answers nobody until both deadlines have passed."""

    async def story(people: Crowd) -> None:
        ahead = await people.occupy()
        late = people.start("late")
        await people.until(1, "radserve_queue_depth", priority="routine")
        refusal(await late, 504, "DEADLINE_EXCEEDED")
        refusal(await ahead, 504, "DEADLINE_EXCEEDED")
        hold.let_go()

    with LiveService(
        None, triton_address=mock_triton.grpc_address, triton_in_flight=1, request_timeout_s=TIMEOUT_S
    ) as live:
        counts = counted(mock_triton, f"http://127.0.0.1:{live.port}", hold, story, at_least=1)
    assert counts.inferences == 1, "only the one that was with Triton already"


def test_an_answer_of_nan_is_no_answer(http: httpx.Client) -> None:
    error = refusal(post(http, NAN, detect="never"), 502, "BAD_MODEL_OUTPUT")
    assert "NaN" in error["message"]
    refusal(post(http, NAN, detect="always"), 502, "BAD_MODEL_OUTPUT")


def test_the_mock_answers_as_asked(http: httpx.Client) -> None:
    """Else the tests above would prove nothing."""
    answer: dict[str, Any] = findings(post(http, ABNORMAL))
    assert answer["decision"]["label"] == "abnormal"
    assert answer["decision"]["probability"] == pytest.approx(0.9)
    assert len(answer["detections"]["boxes"]) == 1
