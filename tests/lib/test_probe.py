"""Questions that may hang: asked once however many want to know, and waited for no longer than is said."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from webapp.lib import probe
from webapp.lib.probe import Probe, ask_all


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """What a hanging question waits for."""
    gate = threading.Event()
    yield gate
    gate.set()


def test_answers_and_errors_come_by_their_names() -> None:
    error = ValueError("no")

    def fail() -> int:
        raise error

    assert ask_all({"good": Probe(lambda: 7), "bad": Probe(fail)}, 60) == {"good": 7, "bad": error}


def test_what_hangs_keeps_the_others_from_nothing(gate: threading.Event) -> None:
    answers = ask_all({"hanging": Probe(gate.wait), "quick": Probe(lambda: True)}, 0.2)
    assert isinstance(answers["hanging"], TimeoutError)
    assert answers["quick"] is True


def test_what_hangs_is_not_asked_again_until_it_answers(gate: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "GOOD_SECONDS", 0.0)
    asked: list[int] = []

    def ask() -> int:
        asked.append(len(asked))
        gate.wait()
        return len(asked)

    hanging = Probe(ask)
    for _ in range(3):
        assert isinstance(ask_all({"hanging": hanging}, 0.01)["hanging"], TimeoutError)
    assert asked == [0]
    gate.set()
    assert hanging.begin().result(60) == 1
    assert hanging.begin().result(60) == 2


def test_an_answer_is_good_for_whoever_asks_at_once() -> None:
    asked: list[int] = []
    quick = Probe(lambda: asked.append(1))
    for _ in range(20):
        quick.begin().result(60)
    assert len(asked) == 1
