"""A source in, the items that still need an answer out, as they are asked for: nothing is collected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256

from radserve_client.score.item import Item
from radserve_client.score.read import Access, UnreadableItem, read_parts
from radserve_client.score.tally import Tally

READ_AHEAD = 4
"""Done items whose content is read at once by ``--verify``."""


def undone(items: Iterable[Item], is_done: Callable[[Item], bool], tally: Tally) -> Iterator[Item]:
    """The items without a row of their own; the others are counted as skipped."""
    for item in items:
        if is_done(item):
            tally.skipped += 1
        else:
            yield item


def changed(
    items: Iterable[Item],
    is_done: Callable[[Item], bool],
    recorded_hash: Callable[[Item], str | None],
    access: Access,
    tally: Tally,
) -> Iterator[Item]:
    """The same, and done items whose content is no longer the one that was scored (``--verify``).

    A done item that cannot be read now is given too: its row becomes that of a failure.
    """
    ahead: deque[tuple[Item, Future[bool]]] = deque()
    pool = ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="score-verify")
    try:
        for item in items:
            if not is_done(item):
                yield item
            elif (recorded := recorded_hash(item)) is None:
                tally.skipped += 1  # a failure without content: nothing to compare
            else:
                ahead.append((item, pool.submit(_is_same, item, recorded, access)))
            if len(ahead) >= READ_AHEAD:
                yield from _compared(ahead.popleft(), tally)
        while ahead:
            yield from _compared(ahead.popleft(), tally)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _compared(read: tuple[Item, Future[bool]], tally: Tally) -> Iterator[Item]:
    item, same = read
    tally.verified += 1
    if same.result():
        tally.skipped += 1
    else:
        yield item


def _is_same(item: Item, recorded: str, access: Access) -> bool:
    digest = sha256()
    try:
        for part in read_parts(item, access):
            digest.update(part)
    except UnreadableItem:
        return False
    return digest.hexdigest() == recorded
