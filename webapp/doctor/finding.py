"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How it is: a warning works, and may not tomorrow."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the report; `remedy` says what to do, where something is to do."""

    name: str
    state: State
    words: str
    remedy: str = ""


def ok(name: str, words: str) -> Finding:
    return Finding(name, State.OK, words)


def warning(name: str, words: str, remedy: str) -> Finding:
    return Finding(name, State.WARNING, words, remedy)


def problem(name: str, words: str, remedy: str) -> Finding:
    return Finding(name, State.PROBLEM, words, remedy)
