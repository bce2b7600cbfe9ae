"""``python -m bench.score.metered FILE score ...`` is ``radserve score ...``, and leaves its peak memory in FILE.

Written at the very end, as the process itself knows it: whoever watches from outside misses what happens last.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.score.processes import peak_bytes
from radserve_client.cli import app


def main(file: Path, arguments: list[str]) -> None:
    """Run the command; its exit code is this one's."""
    try:
        app(arguments, prog_name="radserve")
    finally:
        file.write_text(f"{peak_bytes()}\n", encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
