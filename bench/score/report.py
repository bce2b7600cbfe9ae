"""The score results of a run in, the score tables of docs/benchmarks.md out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.ct.report import aims_table
from bench.ratios import best
from bench.score.aims import (
    WAYS,
    aims,
    executions_per_s,
    films_per_s,
    left_executions_per_s,
    own_core_time,
)
from bench.score.results import ArchiveMemory, Resume, ScoreLoad, ScoreResults
from bench.tables import of_facts, of_models, table

MIB = 2**20


def sections(results: ScoreResults) -> Iterator[str]:
    """Every table, the aims first."""
    yield "### Score: aims\n\n" + aims_table(aims(results))
    yield "### (j) Throughput\n\n" + _throughput(results)
    yield "### (j) Where the cores went\n\n" + _cores(results)
    yield "### (k) Memory of the scorer\n\n" + _memory(results.memory)
    yield "### (l) Starting a finished run again\n\n" + _resume(results.resume)
    yield "### Score: machine and models\n\n" + of_facts(results.machine)
    yield of_models(results.models)


def _throughput(results: ScoreResults) -> str:
    best_films = best(results.triton.rows)
    head = (
        f"{results.triton.generator} at its best: {best_films:.2f} films/s through `{results.triton.model}`, "
        f"{best_films * _networks(results):.1f} executions/s. Films are normal ones: the detector is not asked.\n\n"
    )
    rows = [_load(results, load) for load in results.loads]
    columns = ("executions/s", "left for it", "films/s", "rows/s", "films a run", "window s")
    return head + table(("way, film", *columns), rows)


def _networks(results: ScoreResults) -> int:
    return len(results.loads[0].executions)


def _load(results: ScoreResults, load: ScoreLoad) -> tuple[str, ...]:
    return (
        _name(load),
        f"{executions_per_s(load):.2f}",
        f"{left_executions_per_s(results, load):.2f}",
        f"{films_per_s(load):.2f}",
        f"{load.rows / load.seconds:.2f}",
        f"{sum(load.executions.values()) / sum(load.runs.values()):.2f}",
        f"{load.seconds:.1f}",
    )


def _cores(results: ScoreResults) -> str:
    """Core milliseconds a film of each part; what is idle is what the parts leave of the machine."""
    parts = list(dict.fromkeys(part for load in results.loads for part in load.core_s))
    rows = [_cores_of(results, load, parts) for load in results.loads]
    head = "Core ms a film, by the kernel's accounting over the window.\n\n"
    perf = 1e3 * results.machine.cores / best(results.triton.rows)
    tail = f"\n\nA film costs {perf:.0f} core ms under perf_analyzer at its best, itself included."
    columns = (*parts, "nobody", "decode alone", "preprocess alone")
    return head + table(("way, film", *columns), rows) + tail


def _cores_of(results: ScoreResults, load: ScoreLoad, parts: Sequence[str]) -> tuple[str, ...]:
    films = films_per_s(load) * load.seconds
    idle = results.machine.cores * load.seconds - sum(load.core_s.values())
    own = own_core_time(results, load.storage)
    spent = [*(load.core_s[part] / films for part in parts), idle / films, own.decode_s, own.tensorise_s]
    return (_name(load), *(f"{1e3 * seconds:.0f}" for seconds in spent))


def _name(load: ScoreLoad) -> str:
    return f"{WAYS[load.via]}, {load.storage}"


def _memory(found: Sequence[ArchiveMemory]) -> str:
    rows = [
        (
            f"{WAYS[each.via]}, {each.items} items",
            *(f"{size / MIB:.0f}" for size in (each.command_bytes, each.workers_bytes, each.total_bytes)),
            f"{each.seconds:.1f}",
        )
        for each in sorted(found, key=lambda each: each.via, reverse=True)
    ]
    return table(("archive", "command MiB", "its processes MiB", "together MiB", "s"), rows)


def _resume(found: Sequence[Resume]) -> str:
    rows = [
        (
            f"{WAYS[each.via]}, {each.items} rows",
            f"{each.seconds:.1f}",
            f"{each.begun_s:.1f}",
            f"{each.seconds - each.begun_s:.1f}",
            f"{each.listing_s:.1f}",
        )
        for each in found
    ]
    columns = ("s", "until the run begins", "from there to the end", "listing alone")
    return table(("archive", *columns), rows)
