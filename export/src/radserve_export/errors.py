"""Everything that can go wrong in an export, as one tree.

::

    ExportError
    ├── BusyRepository          REPOSITORY_BUSY      another export holds the served repository
    ├── CheckpointError         CHECKPOINT           fetch, build: one class per reason
    │   ├── CheckpointMissing   CHECKPOINT_MISSING   the folder lacks a file
    │   ├── UnreadableCheckpoint CHECKPOINT_UNREADABLE  truncated, or no torch file
    │   ├── UnsafeCheckpoint    CHECKPOINT_UNSAFE    holds more than tensors and numbers; nothing of it was run
    │   └── ForeignCheckpoint   CHECKPOINT_FOREIGN   other keys, shapes or classes than the network's
    ├── GraphError              GRAPH                torch2onnx: no graph, or not the one the contract describes
    ├── ParityError             PARITY               verify: not the original network
    ├── SourceError             SOURCE               model_repository: a config missing or wrong
    └── PublishError            PUBLISH              the served repository could not be written or swapped in

Messages say what, where, got, wanted, do.
"""

from __future__ import annotations

from typing import ClassVar


class ExportError(Exception):
    """Root of the tree: a message for the person who exports, and a stable ``code``."""

    code: ClassVar[str] = "EXPORT"


class BusyRepository(ExportError):
    """Another export is writing the same served repository."""

    code = "REPOSITORY_BUSY"


class CheckpointError(ExportError):
    """A checkpoint cannot become the network it should be."""

    code = "CHECKPOINT"


class CheckpointMissing(CheckpointError):
    """The checkpoint folder lacks a file that an exported network needs."""

    code = "CHECKPOINT_MISSING"


class UnreadableCheckpoint(CheckpointError):
    """Truncated, or not a file that torch wrote."""

    code = "CHECKPOINT_UNREADABLE"


class UnsafeCheckpoint(CheckpointError):
    """The pickle asks for more than tensors and numbers. Nothing of it was run."""

    code = "CHECKPOINT_UNSAFE"


class ForeignCheckpoint(CheckpointError):
    """Weights of something else: keys, shapes or classes differ, or values are not finite."""

    code = "CHECKPOINT_FOREIGN"


class GraphError(ExportError):
    """The network gave no graph, or one that is not what the contract describes."""

    code = "GRAPH"


class ParityError(ExportError):
    """The exported graph does not answer what the original network answers."""

    code = "PARITY"


class SourceError(ExportError):
    """A file of the source repository is missing or does not parse."""

    code = "SOURCE"


class PublishError(ExportError):
    """The served repository could not be written or swapped in; the previous one is untouched."""

    code = "PUBLISH"
