"""A process that scores items into an output folder until it is killed: ``ledger_writer.py OUT ITEMS SEED``.

It says on stdout which items are durable, one JSON list per line, and at the end ``[]``.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

from radserve_client.score.artifacts import ArtifactKind
from radserve_client.score.ledger import Ledger
from radserve_client.score.outcome import Result
from tests.client.score.answers import failed, run, scored

PART_ROWS = 20


def result(number: int) -> Result:
    """What comes of an item: every fifth fails, every seventh has a picture."""
    if number % 5 == 0:
        return failed(f"{number}.dcm")
    return scored(f"{number}.dcm", overlay=b"picture of bones" if number % 7 == 0 else None)


def main(out: Path, items: int, seed: int) -> None:
    """Score what is not done yet, making a few rows durable at a time."""
    chosen = random.Random(seed)
    identity = run(run_id=f"run-{seed}")
    with Ledger.open(out, identity, artifacts=ArtifactKind.ZIP, part_rows=PART_ROWS) as ledger:
        todo = [number for number in range(items) if not ledger.is_done(result(number).item)]
        while todo:
            some = [todo.pop() for _ in range(min(len(todo), chosen.randint(1, 9)))]
            for number in some:
                ledger.keep(result(number))
            ledger.flush()
            print(json.dumps(some), flush=True)
    print("[]", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
