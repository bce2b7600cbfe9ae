"""A run in; on a terminal a display of it, else a line now and then, out on stderr."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from radserve_client.score import progress_text as words
from radserve_client.score.gauges import Gauges
from radserve_client.score.tally import Tally

PLAIN_EVERY_S = 5.0
LIVE_PER_S = 4
BAR_WIDTH = 60


class Progress(Protocol):
    """Shown while the ``with`` block lasts."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def watch(self, tally: Tally, gauges: Callable[[], Gauges]) -> None:
        """What to show from now on."""

    def say(self, text: str) -> None:
        """A line that stays; from any thread."""


def progress_on(stream: TextIO, *, quiet: bool, title: str) -> Progress:
    """What suits the stream: nothing when it is to be quiet, a display on a terminal, else lines."""
    if quiet:
        return Quiet()
    console = Console(file=stream)
    return Display(console, title) if console.is_terminal else Lines(stream)


class Quiet:
    """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def watch(self, tally: Tally, gauges: Callable[[], Gauges]) -> None:
        """See ``Progress``."""

    def say(self, text: str) -> None:
        """See ``Progress``."""


class Lines:
    """A line every few seconds: for logs, and for pipes."""

    def __init__(self, stream: TextIO = sys.stderr, *, every_s: float = PLAIN_EVERY_S) -> None:
        self._stream = stream
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="score-progress", daemon=True)
        self._shown: tuple[Tally, Callable[[], Gauges]] | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def watch(self, tally: Tally, gauges: Callable[[], Gauges]) -> None:
        """See ``Progress``."""
        self._shown = (tally, gauges)

    def say(self, text: str) -> None:
        """See ``Progress``."""
        with suppress(OSError):  # nobody reads it any more (a closed pipe, a full disk): the run goes on
            print(f"radserve: {text}", file=self._stream, flush=True)

    def _go_on(self) -> None:
        while not self._ended.wait(self._every_s):
            if self._shown is not None:
                tally, gauges = self._shown
                self.say(words.line(tally, gauges()))


class Display:
    """A few lines at the bottom of a terminal that are drawn again and again."""

    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._shown: tuple[Tally, Callable[[], Gauges]] | None = None
        self._live = Live(console=console, get_renderable=self.draw, refresh_per_second=LIVE_PER_S, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def watch(self, tally: Tally, gauges: Callable[[], Gauges]) -> None:
        """See ``Progress``."""
        self._shown = (tally, gauges)

    def say(self, text: str) -> None:
        """See ``Progress``."""
        self._live.console.print(Text(f"radserve: {text}"))

    def draw(self) -> Group:
        """The lines as they are now."""
        if self._shown is None:
            return Group(Text(self._title, style="bold"))
        tally, gauges = self._shown[0], self._shown[1]()
        lines: list[Text | ProgressBar] = [
            Text(f"{self._title}: {words.counted(tally)}, {words.paced(tally)}", style="bold"),
            Text(words.outcomes(tally), style="yellow" if tally.failed else ""),
            Text(words.staged(gauges), style="dim"),
        ]
        if tally.expected:
            lines.insert(1, ProgressBar(tally.expected, tally.skipped + tally.done, width=BAR_WIDTH))
        if gauges.waiting_for:
            lines.append(Text(f"waiting for the server: {gauges.waiting_for}", style="red"))
        return Group(*lines)
