"""Which function does which kind of job. Features register theirs; this module knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from webapp.jobs.models import Job

Result = dict[str, Any]


class PermanentError(Exception):
    """Trying again cannot help; the message says what a person can do."""


@dataclass(frozen=True)
class Run:
    """One running attempt, as its kind's function sees it."""

    organisation_id: UUID
    job_id: UUID
    number: int
    parameters: dict[str, Any]
    report: Callable[[int, int | None], None]
    """`report(progress_count, total_count)`: commits, publishes, and raises when the job was cancelled."""


@dataclass(frozen=True)
class Kind:
    """A kind of background work: its name in the database, its name for people, its function."""

    name: str
    label: str
    run: Callable[[Run], Result]


_kinds: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Make a kind known; each feature does so when its tasks are imported."""
    _kinds[kind.name] = kind


def get_kind(name: str) -> Kind:
    """The kind; raises PermanentError when this version of Footfall has none of that name."""
    if name not in _kinds:
        raise PermanentError(f"This version of Footfall knows no kind of job called {name!r}.")
    return _kinds[name]


def label_of(job: Job) -> str:
    """What people call this job's kind."""
    return _kinds[job.kind].label if job.kind in _kinds else job.kind.replace("_", " ").capitalize()
