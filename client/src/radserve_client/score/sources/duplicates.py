"""Names in, an error when two are the same; memory holds 8 bytes for each."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b

from radserve_client.score.errors import WrongUse

_SHOWN = 3


def refuse_duplicates(names: Callable[[], Iterator[str]], of: str) -> None:
    """Refuse a list that has a name twice.

    Raises
    ------
    WrongUse
        With the first such names and their row numbers. ``names`` is called again only for these.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    hashes = array("Q", map(_hash, names()))
    column = pa.Array.from_buffers(pa.uint64(), len(hashes), [None, pa.py_buffer(hashes)])
    if pc.count_distinct(column).as_py() == len(hashes):
        return
    counts = pc.value_counts(column)
    doubtful = set(counts.filter(pc.greater(counts.field("counts"), 1)).field("values").to_pylist())
    suspects = [(number, name) for number, name in enumerate(names(), 1) if _hash(name) in doubtful]
    repeated = Counter(name for _, name in suspects)
    rows = {name: [number for number, other in suspects if other == name] for name in list(repeated)[:_SHOWN]}
    told = [f"{name} (rows {', '.join(map(str, numbers))})" for name, numbers in rows.items() if len(numbers) > 1]
    count = sum(times > 1 for times in repeated.values())
    if count:
        raise WrongUse(
            f"{of}: {count} files stand in more than one row, and a row is an item: {'; '.join(told)}."
            " Leave one row for each, with its labels in columns"
        )


def _hash(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest(), "little")
