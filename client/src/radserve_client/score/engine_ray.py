"""Items in, results out, over the machines of a Ray cluster: a Ray Data pipeline whose actors do what workers do here.

::

    items -> chunks -> blocks -> RayWorker, an autoscaling pool of actors -> outcomes, as they come -> whoever iterates
                                    read, decode, ask the Tritons

When an actor or its machine goes, Ray gives its blocks to others. The driver keeps what it has given and not got back:
an outcome that comes twice, because a block was run again, is dropped, and one that never came is noticed.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from radserve_client.score.cores_share import crew_for
from radserve_client.score.errors import RunError, WrongUse
from radserve_client.score.item import Item
from radserve_client.score.outcome import Result
from radserve_client.score.ray_cluster import connected, ray_or_say_so
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.sources.access import Access
from radserve_client.score.triton_models import checked_addresses, profile_of
from radserve_client.score.way import Ask
from radserve_client.score.worker_messages import result_of

FIRST_CHUNK = 1024
LARGEST_CHUNK = 32768
LARGEST_CHUNK_BYTES = 64 * 1024**2
"""Of pickled items. A chunk is one run of the pipeline, whose actors start anew: the more items the better. It is
bounded so that the driver's memory does not depend on the archive."""
BLOCK = 8
"""Items that an actor gets at once, and that are scored again when it is killed."""
CALLS = 2
"""Blocks that an actor works on at once, so that it has something to do while it waits for the last item of one."""


class RayEngine:
    """Scores on the actors of a cluster. ``workers`` are the fewest and the most actors, of one core each; None: up to
    as many as the cluster has cores.

    ``ray_address`` is ``host:port`` of the cluster's head, or ``auto`` on a machine of it; None starts one here.
    ``patience_s`` is how long an actor waits for a Triton that is away.

    Raises
    ------
    MissingExtra
        Ray is not installed.
    WrongUse
        As ``TritonWay``.
    """

    def __init__(
        self,
        ask: Ask,
        access: Access,
        addresses: Sequence[str],
        *,
        workers: tuple[int, int] | None = None,
        ray_address: str | None = None,
        patience_s: float = 1800.0,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        ray_or_say_so(ray_address)
        profile_of(ask)
        checked = checked_addresses(addresses)
        if workers is not None and not 1 <= workers[0] <= workers[1]:
            raise WrongUse(f"from {workers[0]} to {workers[1]} workers: at least 1, and the fewest first")
        self._fewest = workers[0] if workers else 1
        self._most = workers[1] if workers else None
        self._options = ScorerOptions(ask, access, checked, threads=1, patience_s=patience_s)
        self._address = ray_address
        self._say = say

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """See ``outcome.Engine``."""
        crew = crew_for(self._options.addresses)
        with connected(self._address, cores=self._most or crew.workers * crew.threads) as ray:
            _configure(ray)
            most = self._most or max(self._fewest, int(ray.cluster_resources().get("CPU", 1)))
            self._say(f"Ray: {self._address or 'a cluster of this machine'}, {self._fewest} to {most} workers")
            self._pool = ray.data.ActorPoolStrategy(
                min_size=self._fewest,
                max_size=most,
                max_concurrent_calls_per_actor=CALLS,
                enable_true_multi_threading=True,
            )
            for chunk in _chunks(items):
                yield from self._scored(ray, chunk)

    def _scored(self, ray: Any, given: dict[int, Item]) -> Iterator[Result]:
        """One run of the pipeline. Who gets a result is taken out of ``given``."""
        outcomes = self._pipeline(ray, given)
        try:
            for row in outcomes.iter_rows():
                item = given.pop(int(row["number"]), None)
                if item is not None:
                    yield Result(item, result_of(pickle.loads(row["outcome"])))  # noqa: S301  # of our own actors
        except ray.exceptions.RayError as error:
            raise _told(error) from None
        if given:
            raise RunError(f"Ray lost {len(given)} items; what is done is kept, and the same command goes on from here")

    def _pipeline(self, ray: Any, given: Mapping[int, Item]) -> Any:
        from radserve_client.score.ray_worker import RayWorker

        rows = [{"number": number, "item": pickle.dumps(item)} for number, item in given.items()]
        return ray.data.from_items(rows, override_num_blocks=math.ceil(len(rows) / BLOCK)).map_batches(
            RayWorker, fn_constructor_args=(self._options,), batch_size=None, compute=self._pool, num_cpus=1
        )


def _configure(ray: Any) -> None:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False


def _chunks(items: Iterable[Item]) -> Iterator[dict[int, Item]]:
    """The items by number, in pieces that fit into memory; pulled no faster than they are scored."""
    source, numbers, most = iter(items), count(), FIRST_CHUNK
    for first in source:
        chunk, size_bytes = {}, 0
        for item in chain([first], source):
            chunk[next(numbers)] = item
            size_bytes += len(pickle.dumps(item))
            if len(chunk) >= most or size_bytes >= LARGEST_CHUNK_BYTES:
                break
        yield chunk
        most = min(most * 2, LARGEST_CHUNK)


def _told(error: Exception) -> RunError:
    """Ray's error in a line: its own text is a stack trace."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RunError):
        return cause
    last = str(error).strip().split("\n")[-1]
    return RunError(f"Ray could not go on: {type(error).__name__}: {last}")
