"""Steps and their items in, progress on standard error out: bars on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

BEFORE = "preparing"


class StepReport:
    """Shows each step as it goes, and remembers in ``current`` which one it is, for the message when it fails."""

    def __init__(self, console: Console) -> None:
        self.current = BEFORE
        self._console = console

    @contextmanager
    def __call__(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        """Show one step: yields a function to call at the start of each of its ``total`` items."""
        self.current = name
        show = self._bar if self._console.is_terminal else self._lines
        with show(name, total) as begin:
            yield begin
        self.current = BEFORE

    @contextmanager
    def _bar(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        columns = (
            TextColumn(f"{name:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=self._console) as progress:
            task = progress.add_task("", total=total)
            begin = _Advance(progress, task)
            yield begin
            progress.update(task, completed=total, description="")

    @contextmanager
    def _lines(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        started = time.monotonic()
        yield lambda item: self._console.print(f"{name}: {item}", highlight=False)
        self._console.print(f"{name}: {total} done in {time.monotonic() - started:.1f} s", highlight=False)


class _Advance:
    """Moves a bar on when the next item begins."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task, self._begun = progress, task, 0

    def __call__(self, item: str) -> None:
        self._progress.update(self._task, completed=self._begun, description=item)
        self._begun += 1
