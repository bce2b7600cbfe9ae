"""What happens in the service in, Prometheus metrics out. Labels come from closed sets: never a UID or a file name.

Names as https://prometheus.io/docs/practices/naming asks: prefix ``radserve_``, seconds and bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from radserve_contract.findings import Findings, ModelIdentity
from radserve_contract.priority import Priority
from radserve_contract.spec import PipelineSpec
from radserve_preproc.admission import Outcome
from radserve_preproc.certificates import Certificates
from radserve_preproc.entry import NONE, Entry
from radserve_preproc.error_docs import all_codes
from radserve_preproc.errors import InternalError, RadserveError
from radserve_preproc.score_reference import SCORE_EDGES, Reference, References

STAGE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0)
REQUEST_S = (*STAGE_S, 90.0, 120.0, 180.0)
"""A CT study may take as long as RADSERVE_SERIES_TIMEOUT_S, by default 170 s."""
UPLOAD_BYTES = tuple(float(1 << power) for power in range(14, 30, 2))


class Metrics:
    """The metrics of one service, in a registry of their own. ``references`` are what its scores should look like."""

    def __init__(self, references: Iterable[Reference] = ()) -> None:
        self._references = tuple(references)
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter and histogram, that nobody asks for
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._make_request_metrics()
        self._make_queue_metrics()
        self._make_result_metrics()

    def _make_request_metrics(self) -> None:
        registry = self.registry
        self._requests = Counter(
            "radserve_requests",
            "HTTP requests answered; status 499: the client hung up. Probes and scrapes are not counted",
            ("pipeline", "profile", "priority", "status"),
            registry=registry,
        )
        self._failures = Counter(
            "radserve_failures", "Requests that failed, by stable error code", ("pipeline", "code"), registry=registry
        )
        self._duration = Histogram(
            "radserve_request_duration_seconds",
            "From a predict request's arrival to the end of its answer",
            ("pipeline", "profile", "priority"),
            buckets=REQUEST_S,
            registry=registry,
        )
        self._stages = Histogram(
            "radserve_stage_duration_seconds",
            "Seconds per step of an analysis; *_wait is the waiting before it",
            ("pipeline", "stage", "priority"),
            buckets=STAGE_S,
            registry=registry,
        )
        self._upload = Histogram(
            "radserve_upload_bytes", "Size of uploaded files", ("pipeline",), buckets=UPLOAD_BYTES, registry=registry
        )
        self.uploads_held = Gauge("radserve_uploads_held_bytes", "Bytes of uploads in memory now", registry=registry)
        self.in_progress = Gauge("radserve_requests_in_progress", "Requests being worked on now", registry=registry)

    def _make_queue_metrics(self) -> None:
        registry = self.registry
        self._queue_depth = Gauge(
            "radserve_queue_depth",
            "Waiting now, before Triton or the CPU threads",
            ("gate", "priority"),
            registry=registry,
        )
        self._in_flight = Gauge(
            "radserve_in_flight", "Triton calls or CPU jobs running now", ("gate", "work"), registry=registry
        )
        self._queue_wait = Histogram(
            "radserve_queue_wait_seconds",
            "Seconds in a queue, by how they ended",
            ("gate", "priority", "outcome"),
            buckets=STAGE_S,
            registry=registry,
        )
        self._triton_calls = Histogram(
            "radserve_triton_call_duration_seconds",
            "Calls to Triton by outcome: ok, cancelled or the error code",
            ("model", "outcome"),
            buckets=STAGE_S,
            registry=registry,
        )
        self._triton_retries = Counter(
            "radserve_triton_retries", "Calls that found no Triton and were made again", ("model",), registry=registry
        )

    def _make_result_metrics(self) -> None:
        registry = self.registry
        self._scores = Histogram(
            "radserve_score",
            "Scores per study, by what they are of: the decision, a label, an organ's grade, the marked share",
            ("pipeline", "profile", "finding"),
            buckets=SCORE_EDGES,
            registry=registry,
        )
        self._decisions = Counter(
            "radserve_decisions",
            "Studies by what was judged and how; trained=false: by networks without trained weights",
            ("pipeline", "profile", "finding", "label", "trained"),
            registry=registry,
        )
        self._ready = Gauge(
            "radserve_ready", "1 when the service was ready when /readyz was last asked", registry=registry
        )
        self._checks = Gauge(
            "radserve_check_passed",
            "1 when this part of readiness was so when /readyz was last asked; models only while Triton answers",
            ("check",),
            registry=registry,
        )

    def expect(self, pipelines: Iterable[PipelineSpec]) -> None:
        """Start the counters that alerts watch at 0: Prometheus misses the first step of one that appears as 1."""
        for spec in pipelines:
            for code in all_codes():
                self._failures.labels(spec.name, code)
            for profile in spec.profiles:
                for finding, label in profile.outcomes:
                    self._decisions.labels(spec.name, profile.name, finding, label, "true")

    def request(self, entry: Entry, seconds: float) -> None:
        """Count a request that has been answered."""
        self._requests.labels(entry.pipeline, entry.profile, entry.priority, str(entry.status)).inc()
        if entry.code:
            self._failures.labels(entry.pipeline, entry.code).inc()
        if entry.profile != NONE:
            self._duration.labels(entry.pipeline, entry.profile, entry.priority).observe(seconds)

    def upload(self, pipeline: str, size_bytes: int) -> None:
        """Note a file that was received whole."""
        self._upload.labels(pipeline).observe(size_bytes)

    def stage(self, pipeline: str, priority: Priority, stage: str, seconds: float) -> None:
        """Note how long a step took."""
        self._stages.labels(pipeline, stage, priority.value).observe(seconds)

    def findings(self, findings: Findings) -> None:
        """Count a study that was scored."""
        for finding, score in findings.study_scores.items():
            self._scores.labels(findings.pipeline, findings.profile, finding).observe(score)
        trained = str(findings.trained).lower()
        for finding, label in findings.outcomes:
            self._decisions.labels(findings.pipeline, findings.profile, finding, label, trained).inc()

    def triton_retry(self, model: str) -> None:
        """Count a second attempt."""
        self._triton_retries.labels(model).inc()

    @contextmanager
    def triton_call(self, model: str) -> Iterator[None]:
        """Time a call to Triton, whatever becomes of it."""
        started, outcome = time.perf_counter(), "cancelled"
        try:
            yield
            outcome = "ok"
        except Exception as error:
            outcome = error.code if isinstance(error, RadserveError) else InternalError.code
            raise
        finally:
            self._triton_calls.labels(model, outcome).observe(time.perf_counter() - started)

    def gate(self, name: str) -> GateMetrics:
        """An observer for the ``Admission`` of that name."""
        return GateMetrics(name, self._queue_depth, self._in_flight, self._queue_wait)

    def checked(self, checks: Mapping[str, bool]) -> None:
        """Show what readiness found, by the name of each check; a check that is gone disappears."""
        self._ready.set(all(checks.values()))
        self._checks.clear()
        for name, passed in checks.items():
            self._checks.labels(name).set(passed)

    def show_models(self, identities: Callable[[], Iterable[ModelIdentity]]) -> None:
        """Show what answers as ``radserve_model_info``, and the references of its scores; asked at every scrape."""
        self.registry.register(_ModelInfo(identities))
        self.registry.register(References(self._references, identities))

    def show_certificates(self, files: Mapping[str, Path]) -> None:
        """Show when the certificates of these PEM files expire, by what each is for; read at every scrape."""
        self.registry.register(Certificates(files))


class GateMetrics:
    """An ``AdmissionObserver`` that writes metrics."""

    def __init__(self, gate: str, depth: Gauge, in_flight: Gauge, wait: Histogram) -> None:
        self._gate = gate
        self._depth = depth
        self._in_flight = in_flight
        self._wait = wait

    def queue_depth(self, priority: Priority, waiting: int) -> None:
        """See ``AdmissionObserver``."""
        self._depth.labels(self._gate, priority.value).set(waiting)

    def calls_in_flight(self, model: str, running: int) -> None:
        """See ``AdmissionObserver``."""
        self._in_flight.labels(self._gate, model).set(running)

    def waited(self, model: str, priority: Priority, outcome: Outcome, seconds: float) -> None:
        """See ``AdmissionObserver``. The model is left out: all wait in one queue."""
        del model
        self._wait.labels(self._gate, priority.value, outcome.value).observe(seconds)


class _ModelInfo(Collector):
    """``radserve_model_info``: one sample per model that was seen last; a replaced digest disappears."""

    def __init__(self, identities: Callable[[], Iterable[ModelIdentity]]) -> None:
        self._identities = identities

    def collect(self) -> Iterator[InfoMetricFamily]:
        """The samples of a scrape."""
        family = InfoMetricFamily("radserve_model", "Models as Triton has them loaded", labels=("model",))
        for identity in sorted(set(self._identities()), key=lambda item: item.name):
            trained = {True: "true", False: "false", None: NONE}[identity.trained]
            values = {"version": identity.version, "digest": identity.digest, "trained": trained}
            family.add_metric((identity.name,), values)
        yield family
