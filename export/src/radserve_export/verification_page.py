"""A served repository in, a page of what verify measured on each of its graphs out (``make verify-all``)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

INTRODUCTION = """# Verification

Written by `make verify-all`, which exports every profile of every pipeline as ONNX and TorchScript and compares each
graph, run by ONNX Runtime or libtorch on the CPU, with the original PyTorch module. For each graph and quantity: the
largest difference over all batches, and what the contract allows. `make test` does the same for the default profile in
ONNX only; a site's own checkpoints are measured when it exports them, in each graph's `provenance.json`.
"""


def main(
    repository: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Served repository to report on.")],
    page: Annotated[Path, typer.Option(dir_okay=False, help="Markdown page to write.")],
) -> None:
    """Write the page of measurements of every graph in a served repository."""
    page.write_text(verification_page(repository), encoding="utf-8")


def verification_page(repository: Path) -> str:
    """The page, as Markdown.

    Raises
    ------
    ValueError
        When no graph of ``repository`` was measured: an empty page would look like a proof.
    """
    documents = [json.loads(path.read_text()) for path in sorted(repository.glob("*/1/provenance.json"))]
    if not any(graph["measurements"] for document in documents for graph in document["graphs"].values()):
        raise ValueError(f"{repository} holds no measured graph")
    sections = "\n".join(_section(document) for document in documents)
    return f"{INTRODUCTION}\n{_tools(documents)}\n{sections}"


def _tools(documents: Iterable[Mapping[str, Any]]) -> str:
    used = sorted({f"{name} {number}" for document in documents for name, number in document["tools"].items()})
    days = sorted({document["exported_at"][:10] for document in documents})
    return f"Tools: {', '.join(used)}. Exported: {', '.join(days)}.\n"


def _section(document: Mapping[str, Any]) -> str:
    rows = [
        f"| `{file}` | {quantity} | {measured:.1e} | {allowed:.1e} |"
        for file, graph in document["graphs"].items()
        for quantity, measured, allowed in _worst(graph["measurements"])
    ]
    head = ["| graph | largest difference in | measured | allowed |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {document['model']}", "", f"Weights: {document['weights']}.", "", *head, *rows, ""])


def _worst(measurements: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, float, float]]:
    """For each quantity the measurement, of those of all batches, that is closest to its own limit."""
    worst: dict[str, tuple[float, float]] = {}
    for item in measurements:
        found = (item["measured"], item["allowed"])
        worst[item["quantity"]] = max(worst.get(item["quantity"], found), found, key=_share)
    return [(quantity, *values) for quantity, values in worst.items()]


def _share(values: tuple[float, float]) -> float:
    """How much of what is allowed was used up; where nothing is allowed, verify has let only 0 pass."""
    measured, allowed = values
    return measured / allowed if allowed else measured


if __name__ == "__main__":
    typer.run(main)
