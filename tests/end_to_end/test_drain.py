"""Two services behind a load balancer, under load: one is terminated as Kubernetes would, and not one study fails."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from functools import partial
from itertools import groupby
from pathlib import Path

from radserve_triton.server import TritonServer
from tests.end_to_end.load import Load
from tests.end_to_end.small_balancer import REFUSED, SmallBalancer
from tests.live_service import wait_for
from tests.mock_films import NORMAL
from tests.service_process import ServiceProcess, running_service

DRAIN_S = "6"
"""The balancer looks twice a second; a busy machine may be late by seconds."""


def test_a_service_that_stops_says_so_before_it_takes_no_more_and_no_study_is_lost(
    mock_triton: TritonServer, tmp_path: Path
) -> None:
    with ExitStack() as running:
        services = [
            running.enter_context(running_service(tmp_path / name, mock_triton.grpc_address, DRAIN_S=DRAIN_S))
            for name in ("one", "two")
        ]
        leaving, _staying = services
        balancer = running.enter_context(SmallBalancer([service.url for service in services]))
        wait_for(lambda: all(seen[-1:] == [200] for seen in balancer.seen.values()), 30)
        with Load(partial(balancer.send, NORMAL), senders=4) as load:
            load.wait_for(20)
            assert balancer.taken[leaving.url] > 0
            leaving.child.process.send_signal(signal.SIGTERM)
            wait_for(lambda: balancer.seen[leaving.url][-1] == 503, 30)
            load.wait_for(20)
            assert leaving.child.process.wait(60) == 0
            load.wait_for(20)
            wait_for(lambda: balancer.seen[leaving.url][-1] == REFUSED, 30)
    assert load.failures == []
    assert told(balancer, leaving) == [200, 503, REFUSED]


def told(balancer: SmallBalancer, service: ServiceProcess) -> list[int | str]:
    """What its /readyz said, one after the other."""
    return [found for found, _ in groupby(balancer.seen[service.url])]
