"""A block of items in, a block of their outcomes out, in a Ray actor.

An actor is a small local engine: its own window, its own patience with a Triton that is away, and one worker process
that decodes. An item that kills that process fails as it would without Ray, which would give it to one actor after the
other for ever. What comes out is final.
"""

from __future__ import annotations

import asyncio
import pickle
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from radserve_client.score.attempts import Attempts
from radserve_client.score.errors import RunError
from radserve_client.score.outcome import Failed, Scored
from radserve_client.score.presence import Presence
from radserve_client.score.scorer_options import ScorerOptions
from radserve_client.score.via_triton import PooledWay
from radserve_client.score.window import Window
from radserve_client.score.worker_messages import recipe

Block = dict[str, npt.NDArray[Any]]
WIDEST = 16
"""Items that one actor may have with the Tritons at once."""


class RayWorker:
    """What Ray Data makes an actor of. Columns of a block: ``number`` and ``item`` in, ``number`` and ``outcome`` out.

    ``item`` and ``outcome`` are pickles: their strings may be file names that are no Unicode; Arrow refuses those.
    """

    def __init__(self, options: ScorerOptions) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="score", daemon=True).start()
        self._attempts = asyncio.run_coroutine_threadsafe(_attempts(options), self._loop).result()

    def __call__(self, block: Block) -> Block:
        """Score the items of a block; several calls may run at once."""
        items = [pickle.loads(packed) for packed in block["item"]]  # noqa: S301  # our own driver packed it
        scoring = asyncio.run_coroutine_threadsafe(self._score(items), self._loop)
        packed = np.empty(len(items), object)
        packed[:] = [pickle.dumps(outcome) for outcome in scoring.result()]
        return {"number": block["number"], "outcome": packed}

    async def _score(self, items: list[Any]) -> list[Any]:
        return list(await asyncio.gather(*map(self._outcome, items)))

    async def _outcome(self, item: Any) -> Any:
        """An outcome, or how to make the error that ends the run."""
        try:
            content = await self._attempts.read(item)
            return content if isinstance(content, Failed) else await self._scored(item, content)
        except RunError as error:
            return recipe(error)

    async def _scored(self, item: Any, content: Any) -> Scored | Failed:
        return await self._attempts.score(item, content)


async def _attempts(options: ScorerOptions) -> Attempts:
    """On the actor's event loop."""
    way = PooledWay(options, workers=1)
    presence = Presence(way.models, patience_s=options.patience_s, say=lambda _: None)
    return Attempts(way, Window(WIDEST), presence)
