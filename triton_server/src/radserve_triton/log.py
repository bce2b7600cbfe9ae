"""tritonserver's log in, the lines worth showing and the reason of a failure out."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import IO

from radserve_triton.settings import Log

SEVERITY = re.compile(r"^([IWEF])\d{4} [\d:.]+ +\d+ [\w.]+:\d+\] ?")

# printed on every machine without a GPU (Triton 24.10), and harmless there
HARMLESS = (
    "Unable to allocate pinned system memory, pinned memory pool will not be available",
    "no pinned memory pool, falling back to non-pinned system memory",
    "CudaDriverHelper has not been initialized",
    "Error: Failed to initialize NVML",
    "DCGM unable to start",
    "unable to create stream for",
    "failed to get available device count",
)
LAST_LINES_S = 5.0
KEPT_LINES = 2000  # a failing start prints some hundred


class ServerLog:
    """Reads the log in a thread of its own until the server closes it, then closes it too."""

    def __init__(self, stream: IO[str], level: Log, show: Callable[[str], None] | None = None) -> None:
        self._stream = stream
        self._level = level
        self._show = show or _to_standard_error
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._thread = threading.Thread(target=self._pump, name="tritonserver-log", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until everything that the server wrote has been read; not for ever: stopping must not hang on a log."""
        self._thread.join(LAST_LINES_S)

    def reason(self) -> str:
        """The first real error since the start, or since ``forget``, in tritonserver's words."""
        return first_error(list(self._kept))

    def forget(self) -> None:
        """Keep nothing of what was said so far: of a server that got ready it explains no end."""
        self._kept.clear()

    def _pump(self) -> None:
        problem = False
        with self._stream:
            for line in self._stream:
                text = line.rstrip("\n")
                self._kept.append(text)
                problem = is_problem(text, after_problem=problem)
                if problem or self._level is Log.ALL:
                    self._show(text)


def is_problem(line: str, *, after_problem: bool) -> bool:
    """Whether a line tells of trouble. Lines without a header continue the one before, or come from a Python model."""
    if not line or line[0] in "|+" or any(text in line for text in HARMLESS):
        return False
    header = SEVERITY.match(line)
    if header is None:
        return after_problem or "rror" in line or line.startswith(("Traceback", "[libprotobuf"))
    return header[1] != "I"


# from the most telling kind of line to the least; within a kind the first counts
TELLING = (
    re.compile(r"\[libprotobuf ERROR [^\]]*\] (?P<reason>.+)"),
    re.compile(r"^[EF].*failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.+)"),
    re.compile(r"(?P<reason>failed to start \w+ service: .+)"),
    re.compile(r"^[EF]\d{4} [^\]]+\] (?P<reason>.+)"),
    re.compile(r"^error: (?P<reason>.+)"),
)
UNREADABLE = re.compile(r"failed to read text proto from (?P<file>[^\s\"]+)")
# what Triton and its Python stub wrap around the reason that a model gives
WRAPPING = re.compile(r"^(Internal: )?(TritonModelException: )?|(\\n|\n)+At:(\\n|\n).*$", re.DOTALL)


def first_error(lines: Iterable[str]) -> str:
    """What went wrong first and matters, without the log's wrapping; names the model or the file where the log does."""
    problems = [line for line in lines if is_problem(line, after_problem=False)]
    for pattern in TELLING:
        for line in problems:
            if match := pattern.search(line):
                return _describe(match, problems)
    return problems[0] if problems else "it gave no reason"


def _describe(match: re.Match[str], problems: Iterable[str]) -> str:
    reason = WRAPPING.sub("", match["reason"].strip('" ')).replace('\\"', '"')
    if "libprotobuf" in match[0]:  # it says line and column; the file stands in a line of its own
        files = [found["file"] for line in problems if (found := UNREADABLE.search(line))]
        return ": ".join([*files[:1], reason])
    model = match.groupdict().get("model")
    return f"model {model}: {reason}" if model else reason


def _to_standard_error(line: str) -> None:
    with contextlib.suppress(OSError):  # whoever read it is gone; the server must go on, so its log must be read
        print(line, file=sys.stderr, flush=True)
