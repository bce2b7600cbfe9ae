"""The kinds of graph an export writes."""

from __future__ import annotations

from enum import StrEnum


class GraphFormat(StrEnum):
    """How a graph is written. A Triton config variant of the same name is the one that reads it."""

    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"

    @property
    def file_name(self) -> str:
        """What Triton calls the file inside a version folder."""
        return {"onnx": "model.onnx", "torchscript": "model.pt"}[self.value]
