"""Why a run of ``radserve score`` ends early: each with the exit code that it gives. A failed item is none of these.

::

    RunError                        exit code
    ├── WrongUse               2    an option, a source or a manifest that cannot be meant so
    ├── NothingToScore         2    the source holds nothing that the pipeline reads
    ├── MissingExtra           1    a part of the program that is not installed
    ├── ServerGone             1    nobody answered within the patience
    ├── ServerRefuses          1    a server answers, but does not serve what is asked for
    ├── UnwritableOutput       1    a full disk, a read-only folder
    ├── DamagedOutput          1    the folder holds something that no run of ours leaves
    ├── ModelsChanged          4    other networks answer than those of the rows that are there
    └── OutputLocked           5    another run writes into the same folder
"""

from __future__ import annotations

from typing import ClassVar

from radserve_client.outcome import ExitCode


class RunError(Exception):
    """Root of the tree: a message for the user, and the exit code of the command."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class WrongUse(RunError):
    """The command line asks for something that cannot be."""

    exit_code = ExitCode.USAGE


class NothingToScore(WrongUse):
    """The source holds nothing that the pipeline reads."""


class MissingExtra(RunError):
    """What is asked for needs packages that are not installed."""


class ServerGone(RunError):
    """Nobody answered within the patience."""


class ServerRefuses(RunError):
    """The server answers, but it does not serve this pipeline or profile, or it is no radserve."""


class UnwritableOutput(RunError):
    """The disk is full, or the folder must not be written to."""


class DamagedOutput(RunError):
    """The output folder holds something that no run leaves there."""


class ModelsChanged(RunError):
    """Other networks answer than those that scored what is there, and the user wants to know before going on."""

    exit_code = ExitCode.MODELS_CHANGED


class OutputLocked(RunError):
    """Another run writes into the same folder."""

    exit_code = ExitCode.OUTPUT_LOCKED
