"""Answers that this process keeps for whoever asks the same again, bounded; the oldest unused go first.

They are never corrected: an answer is kept under its stamp, and a changed range has another one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")
MOST_FIGURES = 100_000
"""Of all answers together: some 50 MB."""


class KeptAnswers:
    """Answers by what they depend on."""

    def __init__(self, most: int) -> None:
        self._most, self._held = most, 0
        self._lock = threading.Lock()
        self._answers: OrderedDict[object, tuple[Any, int]] = OrderedDict()

    def get(self, key: object, make: Callable[[], Answer], size_of: Callable[[Answer], int]) -> Answer:
        """The answer that is kept under the key, or a new one, kept from now on."""
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                kept: Answer = self._answers[key][0]
                return kept
        answer = make()
        self._keep(key, answer, 1 + size_of(answer))
        return answer

    def forget(self) -> None:
        """Keep nothing of all this."""
        with self._lock:
            self._answers.clear()
            self._held = 0

    def _keep(self, key: object, answer: object, size: int) -> None:
        if size > self._most // 4:
            return
        with self._lock:
            _, replaced = self._answers.pop(key, (None, 0))
            self._answers[key] = answer, size
            self._held += size - replaced
            while self._held > self._most:
                _, (_, gone) = self._answers.popitem(last=False)
                self._held -= gone


KEPT = KeptAnswers(MOST_FIGURES)
