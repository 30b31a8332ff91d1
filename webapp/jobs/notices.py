"""Lines above the list of jobs about work that is none: the features that know of it are asked for each page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Notice:
    """What is going on, and what to do; `level` is one of the alerts'."""

    level: str
    title: str
    text: str


Ask = Callable[[], Notice | None]
_asked: list[Ask] = []


def register_notice(ask: Ask) -> None:
    """Ask this, too."""
    if ask not in _asked:
        _asked.append(ask)


def list_notices() -> list[Notice]:
    """What there is to say now."""
    return [notice for ask in _asked if (notice := ask()) is not None]
