"""``python -m tests.helm.write``: write every file of chart and manifests that is made from others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.helm import generated


def write(files: Iterable[tuple[Path, str]]) -> None:
    """Write what changed, and say so."""
    for path, text in files:
        if not path.exists() or path.read_text("utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(generated.ROOT)}")


def main() -> None:
    """The chart's own files first: the manifests are rendered from them."""
    write(generated.files())
    for path in generated.stale_copies():
        path.unlink()
    from tests.helm import manifests  # here: Helm loads the chart, which has to be written by now

    write(manifests.files())


if __name__ == "__main__":
    main()
