"""``radserve score``: the table of contents. Start reading here.

::

    source -> Item -> (skip what is done) -> Engine -> Result -> row -> ledger -> Parquet
    sources/  item    todo                   engines   outcome    row    ledger    results
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from radserve_client.outcome import ExitCode
from radserve_client.score import run_document
from radserve_client.score.artifacts import ArtifactKind
from radserve_client.score.engines import gauges_of, make_engine, served_now, way_maker
from radserve_client.score.errors import RunError, UnwritableOutput, WrongUse
from radserve_client.score.identity import Identifiers, RunIdentity
from radserve_client.score.interrupts import Interrupts
from radserve_client.score.item import Item
from radserve_client.score.ledger import Ledger
from radserve_client.score.models_watch import ModelsWatch
from radserve_client.score.options import Grouping, RunOptions
from radserve_client.score.outcome import Engine, Result, Scored
from radserve_client.score.progress import Progress
from radserve_client.score.progress_text import duration, outcomes
from radserve_client.score.read import access_from
from radserve_client.score.run_document import RunState
from radserve_client.score.sources import GroupBy, Source, open_source, options_for
from radserve_client.score.tally import Tally
from radserve_client.score.todo import changed, undone
from radserve_client.settings import ClientSettings

COUNTED_BEFOREHAND = ("file", "folder", "glob", "list", "manifest")
"""Sources that cost little to list a second time, so that there is an expected end."""


def run(options: RunOptions, settings: ClientSettings, progress: Progress, interrupts: Interrupts) -> ExitCode:
    """Score what has no row yet. Everything that is done is durable when this returns, or raises.

    Raises
    ------
    RunError
        The run cannot go on; its ``exit_code`` is the command's.
    Interrupted
        Ctrl-C or SIGTERM.
    """
    _check_out(options)
    source = _source(options, settings)
    make_way = way_maker(options, source.access, settings)
    served = served_now(make_way, patience_s=options.patience_s, say=progress.say)
    columns = source.manifest_schema or pa.schema([])
    ids = Identifiers.from_file(options.hash_ids) if options.hash_ids else Identifiers()
    identity = RunIdentity.of(served, options.ask, via=options.via.value, ids=ids, columns=columns)
    watch = ModelsWatch(
        identity,
        options.on_model_change,
        ask_again=lambda: served_now(make_way, patience_s=options.patience_s, say=progress.say),
        say=progress.say,
    )
    engine = make_engine(options, source.access, make_way, progress.say)
    with Ledger.open(options.out, identity, artifacts=ArtifactKind(options.store.value)) as ledger:
        watch.check_start(ledger.last_models())
        scoring = Scoring(options, source, engine, ledger, watch, progress, interrupts)
        return scoring.run(identity)


def _check_out(options: RunOptions) -> None:
    """Results inside the source would be items of the next run."""
    source = Path(options.source)
    try:
        inside = source.is_dir() and options.out.resolve().is_relative_to(source.resolve())
    except OSError:  # whoever opens it says so in words
        return
    if inside:
        raise WrongUse(f"--out {options.out} lies inside the source {source}; choose a folder beside it")


def _source(options: RunOptions, settings: ClientSettings) -> Source:
    group_by = GroupBy(options.group_by.value) if options.group_by else None
    access = access_from(settings)
    return open_source(
        options.source,
        options_for(options.ask.pipeline, group_by=group_by, path_column=options.path_column, access=access),
    )


class Scoring:
    """One run into one output that is open."""

    def __init__(
        self,
        options: RunOptions,
        source: Source,
        engine: Engine,
        ledger: Ledger,
        watch: ModelsWatch,
        progress: Progress,
        interrupts: Interrupts,
    ) -> None:
        self._options = options
        self._source = source
        self._engine = engine
        self._ledger = ledger
        self._watch = watch
        self._progress = progress
        self._interrupts = interrupts
        self._tally = Tally()
        self._ended = threading.Event()

    def run(self, identity: RunIdentity) -> ExitCode:
        """All items; ``run.json`` says how it ended."""
        self._identity = identity
        run_document.begin(self._ledger, self._command())
        state, why = RunState.FAILED, None
        try:
            self._score()
            state = RunState.FINISHED
        except KeyboardInterrupt:
            state = RunState.INTERRUPTED
            raise
        except RunError as error:
            why = error.message
            raise
        finally:
            self._ended.set()
            with self._interrupts.shield():
                self._seal(state, why)
        return self._exit_code()

    def _score(self) -> None:
        """The loop of the writer."""
        gauges = gauges_of(self._engine)
        with ExitStack() as shown:
            self._progress.watch(self._tally, gauges)
            if self._options.metrics_port is not None:
                port = shown.enter_context(self._metrics(self._options.metrics_port, gauges))
                self._progress.say(f"metrics on http://{self._options.metrics_host}:{port}/metrics")
            results = shown.enter_context(closing(_generator(self._engine.results(self._todo()))))
            for result in results:
                if not self._tally.done:  # a run that only skips has no use for it
                    threading.Thread(target=self._count, name="score-count", daemon=True).start()
                with self._interrupts.shield():
                    self._keep(result)

    def _todo(self) -> Iterator[Item]:
        """What has no row yet, or whose content changed; listed and looked up as the work goes."""
        options, ledger = self._options, self._ledger

        def is_done(item: Item) -> bool:
            return bool(ledger.is_done(item, retry_failed=options.retry_failed))

        if options.verify:
            return changed(self._source.items(), is_done, ledger.recorded_hash, self._source.access, self._tally)
        return undone(self._source.items(), is_done, self._tally)

    def _keep(self, result: Result) -> None:
        """A result becomes a row of the run that its models belong to."""
        if isinstance(result.outcome, Scored):
            identity = self._watch.run_of(result.outcome.document)
            if identity is not self._identity:
                self._ledger.switch(identity)
                self._identity = identity
        self._ledger.keep(result)
        self._tally.add(result)

    def _count(self) -> None:
        """List the source once more, only to know how many there are. Nothing depends on it."""
        if self._source.description.get("kind") not in COUNTED_BEFOREHAND or self._options.group_by is Grouping.SERIES:
            return
        count = 0
        try:
            for _ in self._source.items():
                count += 1
                if self._ended.is_set():
                    return
        except RunError:
            return
        self._tally.expected = count

    def _seal(self, state: RunState, why: str | None) -> None:
        """Everything into the results, and the summary beside it. An output that cannot be written to has said so."""
        try:
            run_document.end(self._ledger, state, why, self._figures())
        except UnwritableOutput:
            if state is RunState.FINISHED:
                raise
        self._progress.say(f"{state.value} after {duration(self._tally.elapsed_s)}: {outcomes(self._tally)}")

    def _figures(self) -> Mapping[str, Any]:
        """What rows do not tell."""
        tally = self._tally
        return {"skipped": tally.skipped, "verified": tally.verified, "scored_bytes": tally.size_bytes}

    def _exit_code(self) -> ExitCode:
        """What the rows of the output say: a run that had nothing new to do says the same as the one before it."""
        counts = self._ledger.counts()
        if not sum(counts.failed.values()):
            return ExitCode.OK
        return ExitCode.SOME_FAILED if counts.ok else ExitCode.FAILED

    def _command(self) -> Mapping[str, Any]:
        source = dict(self._source.description)
        if self._options.hash_ids is not None:
            source.pop("text", None)  # a path may name a patient
        return {"source": source, **self._options.document()}

    def _metrics(self, port: int, gauges: Callable[[], Any]) -> Any:
        from radserve_client.score.run_metrics import RunCollector, serving

        facts = {
            "pipeline": self._identity.pipeline,
            "profile": self._identity.profile,
            "via": self._options.via.value,
            "engine": self._options.engine.value,
            "run_id": self._identity.run_id,
        }
        return serving(RunCollector(self._tally, gauges, facts), self._options.metrics_host, port)


def _generator(results: Iterator[Result]) -> Any:
    """An engine's results are a generator: closing it ends the work."""
    return results
