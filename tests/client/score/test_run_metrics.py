"""The metrics of a run over HTTP."""

from __future__ import annotations

import socket

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from radserve_client.score.errors import WrongUse
from radserve_client.score.gauges import Gauges
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.run_metrics import RunCollector, serving
from radserve_client.score.tally import Tally
from tests.client.score.simulated import items

ITEM = next(items(1))


def samples(port: int) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_says_what_the_run_has_done_and_how_full_it_is() -> None:
    tally = Tally()
    tally.add(Result(ITEM, Scored({}, "", 1000)))
    tally.add(Result(ITEM, Failed("WRONG_BODY_PART", "", transient=False, size_bytes=500)))
    tally.skipped = 7
    gauges = Gauges(reading=1, read=2, scoring=3, scored=4, window=8, held_bytes=99, waiting_for="it")
    with serving(RunCollector(tally, lambda: gauges, {"pipeline": "spine"}), "127.0.0.1", 0) as port:
        found = samples(port)
        assert "radserve_score_expected_items" not in found, "nobody knows yet"
        tally.expected = 20
        assert samples(port)["radserve_score_expected_items"] == 20
    assert found == {
        "radserve_score_run_info,pipeline=spine": 1,
        "radserve_score_items_total,status=ok": 1,
        "radserve_score_items_total,status=failed": 1,
        "radserve_score_failures_total,code=WRONG_BODY_PART": 1,
        "radserve_score_skipped_total": 7,
        "radserve_score_read_bytes_total": 1500,
        "radserve_score_in_stage,stage=reading": 1,
        "radserve_score_in_stage,stage=read": 2,
        "radserve_score_in_stage,stage=scoring": 3,
        "radserve_score_in_stage,stage=scored": 4,
        "radserve_score_window": 8,
        "radserve_score_held_bytes": 99,
        "radserve_score_waiting": 1,
    }


def test_the_port_is_free_again_afterwards() -> None:
    collector = RunCollector(Tally(), Gauges, {})
    with serving(collector, "127.0.0.1", 0) as port:
        pass
    with serving(collector, "127.0.0.1", port) as again:
        assert again == port


def test_a_port_that_is_taken_is_wrong_use_and_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(WrongUse, match=f"--metrics-port {port} of 127.0.0.1 cannot be used"):
            with serving(RunCollector(Tally(), Gauges, {}), "127.0.0.1", port):
                pass
