"""All 22 head CT networks in, a page of what verify measured on each out (``make verify-all``).

Untrained weights: what is proven is that each architecture and head is exported as it is, not any checkpoint. Needs
7 GB of memory and 1.5 GB of disk for the largest, frozen VGG16; each graph is removed once it is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from radserve_contract.pipelines.head_ct import DEPLOYED, NETWORK
from radserve_export.errors import ParityError
from radserve_export.formats import GraphFormat
from radserve_export.head_ct_backbones import VARIANTS, Variant
from radserve_export.head_ct_untrained import untrained_head_ct
from radserve_export.networks import Measurement
from radserve_export.pipelines.head_ct import ROUNDED, exportable
from radserve_export.torch2onnx import check_onnx
from radserve_export.verify import require_parity

INTRODUCTION = """# Verification of the 22 head CT networks

Written by `python -m radserve_export.head_ct_variants`, a part of `make verify-all`: each backbone with each kind of
head is built with seeded, UNTRAINED weights, exported as ONNX, run by ONNX Runtime on the CPU at batches of 1 and 2 and
compared with torchvision's modules, run as the trained system ran them (frozen: batch norms in train mode, scan by
scan; fine-tuned: in eval mode). Differences are the largest over all labels, scans and batches; the last two columns
say what rounding the windows to 8 bits changes on two phantoms.
"""
HEAD = (
    "network",
    "MB",
    "label flips",
    "logits",
    "probabilities",
    "batch against single calls",
    "8 bits: largest score change",
    "8 bits: label flips",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One network: the size of its graph, what verify measured, what rounding does."""

    variant: Variant
    size_bytes: int
    measurements: tuple[Measurement, ...]
    rounding: Mapping[str, float | None]

    @property
    def refused(self) -> str:
        """Why ``publish`` would not take this graph; empty when it would."""
        try:
            require_parity(str(self.variant), self.measurements)
        except ParityError as error:
            return str(error)
        return ""

    def __str__(self) -> str:
        cells = [
            str(self.variant),
            f"{self.size_bytes / 1e6:.0f}",
            f"{self._largest('label flips'):.0f}",
            *(f"{self._largest(quantity):.1e}" for quantity in HEAD[3:6]),
            f"{self.rounding['largest_score_change']:.1e}",
            str(self.rounding["label_flips"]),
        ]
        return f"| {' | '.join(cells)} |"

    def _largest(self, quantity: str) -> float:
        return max(item.measured for item in self.measurements if item.quantity == quantity)


def main(
    page: Annotated[Path, typer.Option(dir_okay=False, help="Markdown page to write.")],
    only: Annotated[list[str] | None, typer.Option(help="Backbone; may be given again. Default: all eleven.")] = None,
) -> None:
    """Export and verify every variant; the page is written anew after each. Exit code 1 when one is over a limit.

    ``publish`` refuses such a graph; the page names it, with what was measured.
    """
    rows: list[Row] = []
    for variant in VARIANTS:
        if only and variant.backbone.name not in only:
            continue
        rows.append(measure(variant))
        typer.echo(rows[-1])
        page.write_text(page_of(rows), encoding="utf-8")
    if any(row.refused for row in rows):
        raise typer.Exit(1)


def measure(variant: Variant) -> Row:
    """Build, write, check and verify one variant, in a temporary folder."""
    item = exportable(untrained_head_ct(NETWORK, variant), DEPLOYED)
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / GraphFormat.ONNX.file_name
        item.write[GraphFormat.ONNX](item.network, graph)
        check_onnx(graph, NETWORK)
        measurements = item.verify(item.network, graph)
        return Row(variant, graph.stat().st_size, measurements, item.deviations[ROUNDED](item.network))


def page_of(rows: Iterable[Row]) -> str:
    """The page, as Markdown; it says which variants are missing."""
    rows = list(rows)
    missing = [str(variant) for variant in VARIANTS if variant not in [row.variant for row in rows]]
    allowed = {item.quantity: item.allowed for row in rows for item in row.measurements}
    limits = ", ".join(f"{quantity} {allowed[quantity]:g}" for quantity in HEAD[2:6])
    tools = ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "onnx", "onnxruntime"))
    lines = [
        INTRODUCTION,
        f"Allowed: {limits}. Tools: {tools}.",
        f"Measured: {len(rows)} of {len(VARIANTS)}." + (f" Not measured: {'; '.join(missing)}." if missing else ""),
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{' --- |' * len(HEAD)}",
        *map(str, rows),
        *(f"\n**Refused:** {row.refused}" for row in rows if row.refused),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
