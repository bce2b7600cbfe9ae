"""A function that sends one study in, senders that never pause and what they were answered out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx

SEND_ERROR = 0
"""Stands where a status would, for a request that got no answer."""


class Load:
    """Use it in a ``with`` block; on exit each sender finishes the study it has sent."""

    def __init__(self, send: Callable[[], httpx.Response], *, senders: int = 3) -> None:
        self._send = send
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[tuple[int, str]] = []
        self._threads = [threading.Thread(target=self._go_on, name=f"sender {number}") for number in range(senders)]

    @property
    def answered(self) -> int:
        """How many studies were answered well so far."""
        with self._lock:
            return sum(status == httpx.codes.OK for status, _ in self._answers)

    @property
    def failures(self) -> list[tuple[int, str]]:
        """Status and text of every answer that was none."""
        with self._lock:
            return [answer for answer in self._answers if answer[0] != httpx.codes.OK]

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """Return once so many more studies were answered well."""
        wanted, deadline = self.answered + more, time.monotonic() + timeout_s
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"{self.answered} of {wanted} in {timeout_s} s; {self.failures[:3]}"
            time.sleep(0.05)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(90)

    def _go_on(self) -> None:
        while not self._ending.is_set():
            try:
                response = self._send()
                answer = (response.status_code, "" if response.is_success else response.text)
            except httpx.HTTPError as error:
                answer = (SEND_ERROR, repr(error))
            with self._lock:
                self._answers.append(answer)
            if answer[0] != httpx.codes.OK:
                time.sleep(0.1)  # a service that is down is not hammered
