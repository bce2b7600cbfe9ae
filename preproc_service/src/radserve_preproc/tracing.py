"""What is under way in, spans out, when RADSERVE_TRACE_ENDPOINT names a collector; else nothing, at no cost.

One span per request, in it one per step (upload, decode, tensorise, classify, ...), in that one for the waiting
(``queue``) and one for the call of Triton, which is told of it (``trace_metadata``) and hangs its own below. The span
that is under way is ambient (a context variable), as asyncio hands it on to every task of a request: the steps need
no argument for it.

A span says what and how long, in words of closed sets (``trace_words.py``): never a UID, a file name, a size, a date.
OpenTelemetry is imported only when it is wanted (``trace_export.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from radserve_contract.spec import PipelineSpec
from radserve_preproc.errors import InternalError, RadserveError
from radserve_preproc.settings import Settings
from radserve_preproc.trace_words import CANCELLED, words_of

QUEUE = "queue"
TRITON = "triton"


class Span(Protocol):
    """Something that takes time."""

    @property
    def trace_id(self) -> str:
        """32 hex digits."""

    @property
    def traceparent(self) -> str:
        """The W3C header that makes somebody else's span a child of this one."""

    def child(self, name: str) -> Span:
        """Begin a part of it."""

    def rename(self, name: str) -> None:
        """Call it otherwise, once it is known what it is."""

    def note(self, **facts: str | int) -> None:
        """Say something of it: ``pipeline="spine"``. What is in no closed set is left out."""

    def end(self, *, failed: bool = False) -> None:
        """It is over."""


class Tracing(Protocol):
    """Where requests begin."""

    def begin(self, traceparent: str | None) -> Span | None:
        """The span of a request, below the caller's when there is one; None when this request is not traced."""

    def close(self) -> None:
        """Send what is left; takes seconds at most, even when nobody receives it. Blocks."""


class NoTracing:
    """Off."""

    def begin(self, traceparent: str | None) -> Span | None:
        """See ``Tracing``."""
        del traceparent
        return None

    def close(self) -> None:
        """See ``Tracing``."""


_current: ContextVar[Span | None] = ContextVar("radserve_span", default=None)


def make_tracing(settings: Settings, specs: Collection[PipelineSpec], routes: Collection[str]) -> Tracing:
    """What the settings ask for. ``routes`` are the templates of the addresses that are served."""
    if not settings.trace_endpoint:
        return NoTracing()
    from radserve_preproc.trace_export import OtlpTracing

    return OtlpTracing(settings.trace_endpoint, settings.trace_sample_ratio, words_of(specs, routes))


@contextmanager
def active(span: Span | None) -> Iterator[None]:
    """Let steps of the block be parts of ``span``."""
    token = _current.set(span)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def step(name: str, **facts: str | int) -> Iterator[None]:
    """Make the block a part of what is under way; nothing when that is not traced. ``name`` is a word of our own."""
    parent = _current.get()
    if parent is None:
        yield
        return
    span = parent.child(name)
    span.note(**facts)
    failed = True
    try:
        with active(span):
            yield
        failed = False
    except BaseException as error:
        span.note(error_code=_code_of(error))
        raise
    finally:
        span.end(failed=failed)


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """What a gRPC call carries so that Triton's spans hang below ours; nothing when the request is not traced.

    Triton traces whatever comes with a ``traceparent``, sampled or not, so none is sent for what is not sampled.
    """
    span = _current.get()
    return () if span is None else (("traceparent", span.traceparent),)


def _code_of(error: BaseException) -> str:
    if isinstance(error, RadserveError):
        return error.code
    return CANCELLED if isinstance(error, asyncio.CancelledError) else InternalError.code
