"""Asking what may hang: each question in a thread of its own, one at a time, however many want to know."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

GOOD_SECONDS = 1.0
"""So long an answer is good for whoever asks next: nobody can wear a server out by asking."""

T = TypeVar("T")


class Probe(Generic[T]):
    """A question whose answer may never come; then the thread that waits for it keeps nobody else waiting."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._answer: Future[T] | None = None
        self._asked_at = 0.0
        self._lock = threading.Lock()

    def begin(self) -> Future[T]:
        """The answer that is being waited for, or was just given; else ask anew."""
        with self._lock:
            is_old = time.monotonic() - self._asked_at > GOOD_SECONDS
            if self._answer is None or (self._answer.done() and is_old):
                self._answer, self._asked_at = Future(), time.monotonic()
                threading.Thread(target=self._run, args=(self._answer,), name="probe", daemon=True).start()
            return self._answer

    def _run(self, answer: Future[T]) -> None:
        try:
            answer.set_result(self._ask())
        except Exception as error:  # whoever asked decides what a failure means
            answer.set_exception(error)


def ask_all(probes: Mapping[str, Probe[T]], seconds: float) -> dict[str, T | Exception]:
    """Every answer or error that comes within the time; TimeoutError for what did not."""
    answers = {name: probe.begin() for name, probe in probes.items()}
    wait(answers.values(), seconds)
    outcomes: dict[str, T | Exception] = {}
    for name, answer in answers.items():
        try:
            outcomes[name] = answer.result(timeout=0)
        except Exception as error:
            outcomes[name] = error
    return outcomes
