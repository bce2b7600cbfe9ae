"""A plan in, the score results of one run out: every measurement after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import core_time, triton
from bench.films import PROFILE, Upload, stored, tensor, uploads
from bench.machine import machine
from bench.perf_analyzer import unpacked
from bench.plan import Plan, Say
from bench.repository import networks
from bench.results import CoreTime, Storage
from bench.score import memory, resume, throughput
from bench.score.archive import archive, small
from bench.score.light import light_repository
from bench.score.results import ArchiveMemory, Resume, ScoreLoad, ScoreResults
from bench.timing import alone
from radserve_devstack.stack import Stack

WAYS = ("triton", "service")
CLASSIFIER_IMAGE = PROFILE.model(PROFILE.classification).inputs[0].name
CORE_TIME_FILMS = 9
WINDOW = 3
"""Windows of (j) are so many times as long as a line elsewhere: of JPEG 2000 two films a second are scored."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Items of the archives: of (j), which has to last; of (k), ascending; of (l)."""

    throughput: int = 20_000
    memory: tuple[int, ...] = (200, 5_000)
    resume: int = 100_000


def measured(plan: Plan, folder: Path, say: Say, sizes: Sizes = Sizes()) -> ScoreResults:
    """Measure everything; files that are needed on the way go to ``folder``.

    Raises
    ------
    RuntimeError
        The scorer did not do what it was to be measured at.
    FileNotFoundError
        perf_analyzer or one of its libraries is missing; nothing has been measured yet.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    here = machine(plan.triton_venv)
    analyzer = unpacked(plan.perf_analyzer, plan.triton_venv)
    folder = folder / "score"
    folder.mkdir()
    say("drawing a film")
    films = tuple(film for film in uploads(folder) if film.kind == "normal")
    with Stack(plan.repository, logs=folder, runtime=plan.triton_venv) as stack:
        say(f"{PROFILE.classification} with perf_analyzer")
        tensors = {CLASSIFIER_IMAGE: [tensor(films[0], CLASSIFIER_IMAGE)]}
        best = triton.measure(
            analyzer,
            stack.triton_address,
            PROFILE.classification,
            tensors,
            plan.levels,
            seconds=plan.seconds,
            folder=folder,
        )
        own = tuple(_own_core_time(films, say))
        loads = tuple(_loads(plan, films, stack, folder, sizes.throughput, say))
    film = small(stored(films, Storage.UNCOMPRESSED)[0])
    light = light_repository(plan.repository, folder / "light", PROFILE)
    with Stack(light, logs=folder, runtime=plan.triton_venv) as stack:
        peaks = tuple(_memory(film, stack, folder, sizes.memory, say))
        again = tuple(_resume(film, stack, folder, sizes.resume, say))
    models = networks(plan.repository, PROFILE)
    return ScoreResults(started, plan.seconds, here, models, best, own, loads, peaks, again)


def _own_core_time(films: tuple[Upload, ...], say: Say) -> Iterator[CoreTime]:
    for film in films:
        say(f"core time of decoding and preprocessing, {film.storage}")
        yield alone(core_time.measure, film, films=CORE_TIME_FILMS)


def _loads(
    plan: Plan, films: tuple[Upload, ...], stack: Stack, folder: Path, items: int, say: Say
) -> Iterator[ScoreLoad]:
    members = [member.model for member in PROFILE.fusion.members]
    for film in films:
        name = film.storage.name.lower()
        source = archive(folder / name, film.content, items)
        for via in WAYS:
            say(f"(j) an archive of {film.storage} films --via {via}")
            out = folder / f"{name}-{via}"
            yield throughput.measure(source, film.storage, via, stack, members, out, seconds=WINDOW * plan.seconds)
            stack.check_alive()


def _memory(film: bytes, stack: Stack, folder: Path, sizes: tuple[int, ...], say: Say) -> Iterator[ArchiveMemory]:
    for items in sizes:
        source = archive(folder / f"memory-{items}", film, items)
        for via in WAYS:
            say(f"(k) memory of {items} items --via {via}")
            yield memory.measure(source, via, stack, folder / f"memory-{items}-{via}", items=items)


def _resume(film: bytes, stack: Stack, folder: Path, items: int, say: Say) -> Iterator[Resume]:
    say(f"(l) writing {items} rows")
    source, out = archive(folder / "resume", film, items), folder / "resume-out"
    rows = alone(resume.finish, source, stack.service_url, out)
    if rows != items:
        raise RuntimeError(f"{rows} rows of {items} items")
    listing = alone(resume.listing_s, source)
    for via in WAYS:
        say(f"(l) {items} rows, resumed --via {via}")
        yield resume.measure(source, via, stack, out, items=items, listing=listing)
