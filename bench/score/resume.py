"""(l) A finished run, started again: how long until the scorer knows that nothing is left."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, perf_counter

import pyarrow as pa

from bench.score.command import OK, PIPELINE, last_run, options_of, scoring
from bench.score.results import Resume
from radserve_client.score import run_document
from radserve_client.score.identity import RunIdentity
from radserve_client.score.item import Item
from radserve_client.score.ledger import Ledger
from radserve_client.score.outcome import Failed, Result, Scored
from radserve_client.score.read import access_from
from radserve_client.score.row import Row, row_of
from radserve_client.score.run_document import RunState
from radserve_client.score.sources import Source, open_source, options_for
from radserve_client.score.via_service import ServiceWay
from radserve_client.score.way import Ask, Served
from radserve_client.settings import load_settings
from radserve_devstack.stack import Stack


def finish(archive: Path, url: str, out: Path) -> int:
    """Leave what a finished run over ``archive`` leaves: a row per item, in parts. How many there are.

    The service at ``url`` is asked about one item; all get its answer.
    """
    source = _source(archive)
    served, scored = asyncio.run(_asked(url, next(source.items())))
    identity = RunIdentity.of(served, Ask(PIPELINE), via="service", columns=source.manifest_schema or pa.schema([]))
    with Ledger.open(out, identity) as ledger:
        run_document.begin(ledger, {"source": dict(source.description)})
        first = row_of(Result(next(source.items()), scored), identity)
        for item in source.items():
            ledger.add(_as_row_of(item, first, identity))
        run_document.end(ledger, RunState.FINISHED)
        return ledger.counts().rows


def listing_s(archive: Path) -> float:
    """Seconds for listing an archive."""
    began = perf_counter()
    for _ in _source(archive).items():
        pass
    return perf_counter() - began


def measure(archive: Path, via: str, stack: Stack, out: Path, *, items: int, listing: float) -> Resume:
    """Start the command on what ``finish`` left; ``listing`` is what ``listing_s`` said.

    Raises
    ------
    RuntimeError
        It scored anything, or did not see all ``items``.
    """
    launched = datetime.now(UTC)
    with scoring(archive, out, options_of(via, stack)) as command:
        command.ended(OK)
        seconds = monotonic() - command.started
    run = last_run(out)
    if (run["rows"]["ok"], run["figures"]["skipped"]) != (0, items):
        raise RuntimeError(f"of {items} items it skipped {run['figures']['skipped']}, and scored {run['rows']['ok']}")
    begun = (datetime.fromisoformat(run["started_at"]) - launched).total_seconds()
    return Resume(via, items, seconds, begun, listing)


def _as_row_of(item: Item, row: Row, identity: RunIdentity) -> Row:
    """The row with another item's key, source and fingerprint: making each anew takes most of a minute."""
    key = identity.key_of(item)
    others = {"item_key": key.hex(), "source": item.source, "fingerprint": item.fingerprint}
    return Row(key, identity.subject_of(item), row.values | others)


def _source(archive: Path) -> Source:
    return open_source(str(archive), options_for(PIPELINE, access=access_from(load_settings())))


async def _asked(url: str, item: Item) -> tuple[Served, Scored]:
    settings = load_settings()
    way = ServiceWay(Ask(PIPELINE), access_from(settings), url, settings)
    try:
        content = await way.read(item)
        outcome = content if isinstance(content, Failed) else await way.score(item, content)
        match outcome:
            case Failed():
                raise RuntimeError(f"the film of the archive is not scored: {outcome}")
            case Scored():
                return await way.models(), outcome
    finally:
        await way.close()
