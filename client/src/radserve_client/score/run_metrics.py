"""Tally and gauges in, Prometheus metrics of the run out, on a port of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from radserve_client.score.errors import WrongUse
from radserve_client.score.gauges import Gauges
from radserve_client.score.tally import Tally


class RunCollector(Collector):
    """Reads what the run counts anyway, at the moment of a scrape. ``facts`` name what runs, none of its data."""

    def __init__(self, tally: Tally, gauges: Callable[[], Gauges], facts: Mapping[str, str]) -> None:
        self._tally = tally
        self._gauges = gauges
        self._facts = dict(facts)

    def describe(self) -> list[Metric]:
        """Nothing is asked of a run that has not begun."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics of the run."""
        yield InfoMetricFamily("radserve_score_run", "What runs", value=self._facts)
        yield from self._counted()
        yield from self._measured()

    def _counted(self) -> Iterator[Metric]:
        tally = self._tally
        items = CounterMetricFamily("radserve_score_items", "Items that got a row in this run", labels=["status"])
        items.add_metric(["ok"], tally.ok)
        items.add_metric(["failed"], tally.failed)
        yield items
        failures = CounterMetricFamily("radserve_score_failures", "Items that failed, by code", labels=["code"])
        for code, count in tuple(tally.failures.items()):
            failures.add_metric([code], count)
        yield failures
        yield CounterMetricFamily("radserve_score_skipped", "Items that were done before", value=tally.skipped)
        yield CounterMetricFamily("radserve_score_read_bytes", "Bytes of the items with a row", value=tally.size_bytes)
        if tally.expected is not None:
            yield GaugeMetricFamily("radserve_score_expected_items", "Items of the source", value=tally.expected)

    def _measured(self) -> Iterator[Metric]:
        gauges = self._gauges()
        stages = GaugeMetricFamily("radserve_score_in_stage", "Items in a stage of the run now", labels=["stage"])
        for stage in ("reading", "read", "scoring", "scored"):
            stages.add_metric([stage], getattr(gauges, stage))
        yield stages
        yield GaugeMetricFamily(
            "radserve_score_window", "Items that may be with the server at once", value=gauges.window
        )
        yield GaugeMetricFamily("radserve_score_held_bytes", "Bytes of items in memory", value=gauges.held_bytes)
        yield GaugeMetricFamily(
            "radserve_score_waiting", "1 while the run waits for a server that is away", value=bool(gauges.waiting_for)
        )


@contextmanager
def serving(collector: Collector, host: str, port: int) -> Iterator[int]:
    """Serve the metrics until the block ends; gives the port, which is a free one for 0.

    Raises
    ------
    WrongUse
        The port or the host cannot be used.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, OverflowError) as error:
        raise WrongUse(f"--metrics-port {port} of {host} cannot be used: {error}") from None
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
