"""Which function does which kind of job. Features register theirs; this module knows none of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from webapp.config import Settings
from webapp.jobs.models import MAX_ATTEMPTS, Job, RecurringJob
from webapp.jobs.parameters import Parameter, masked

Result = dict[str, Any]
JOBS_QUEUE = "jobs"


class PermanentError(Exception):
    """Trying again cannot help; the message says what a person can do."""


class UnknownKindError(PermanentError):
    """This version of Footfall has no such kind."""


class PostponedError(Exception):
    """The job has to wait until a time, and it is not its fault: no attempt is spent."""

    def __init__(self, until: datetime, reason: str) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason


class MayStart(enum.Enum):
    """Who finds the kind under "New job"."""

    NOBODY = "nobody"
    MEMBER = "member"
    OWNER = "owner"


@dataclass
class Run:
    """One running attempt, as its kind's function sees it. `number` fences all that it writes."""

    organisation_id: UUID
    job_id: UUID
    number: int
    parameters: dict[str, Any]
    checkpoint: dict[str, Any] | None
    reporter: Callable[[int, int | None, dict[str, Any] | None], None]
    logger: Callable[[str], None]

    def report(
        self, progress_count: int, total_count: int | None = None, checkpoint: dict[str, Any] | None = None
    ) -> None:
        """Say how far it is. Commits, publishes, and raises what stops the job here: let it through.

        A job that gives a checkpoint, kept at once, may be stopped and continue from there in another worker;
        without one it is only written a few times a second.
        """
        self.reporter(progress_count, total_count, checkpoint)

    def log(self, text: str) -> None:
        """A line for the job's page."""
        self.logger(text)


def _always_available(settings: Settings) -> str | None:
    return None


@dataclass(frozen=True)
class Kind:
    """A kind of background work: its name in the database, its name for people, its function, its limits.

    `batch_size` jobs of one organisation may share a message: only for what takes milliseconds.
    """

    name: str
    label: str
    run: Callable[[Run], Result]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    queue: str = JOBS_QUEUE
    attempt_limit: int = MAX_ATTEMPTS
    batch_size: int = 1
    concurrency_limit: int | None = None
    may_start: MayStart = MayStart.NOBODY
    title: Callable[[Mapping[str, Any]], str] | None = None
    why_unavailable: Callable[[Settings], str | None] = _always_available

    def title_of(self, parameters: Mapping[str, Any]) -> str:
        """What people call a job of this kind with these parameters."""
        return self.title(parameters) if self.title else self.label


_kinds: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Make a kind known; each feature does so in its `init_app`."""
    if kind.queue != JOBS_QUEUE:
        raise ValueError(f"Nothing dispatches the queue {kind.queue!r}: kinds belong to {JOBS_QUEUE!r}.")
    _kinds[kind.name] = kind


def get_kind(name: str) -> Kind:
    """The kind; raises UnknownKindError when this version of Footfall has none of that name."""
    if name not in _kinds:
        raise UnknownKindError(f"This version of Footfall knows no kind of job called {name!r}.")
    return _kinds[name]


def list_kinds() -> list[Kind]:
    """Every kind, by its label."""
    return sorted(_kinds.values(), key=lambda kind: kind.label)


def label_of(job: Job | RecurringJob) -> str:
    """What people call this job's kind."""
    return _kinds[job.kind].label if job.kind in _kinds else job.kind.replace("_", " ").capitalize()


def get_batch_size(name: str) -> int:
    """How many jobs of the kind may share a message; of one that is not known, none."""
    return _kinds[name].batch_size if name in _kinds else 1


def attempt_limit_of(job: Job) -> int:
    """How many attempts jobs of its kind have."""
    return _kinds[job.kind].attempt_limit if job.kind in _kinds else MAX_ATTEMPTS


def shown_parameters(job: Job | RecurringJob) -> dict[str, Any]:
    """A job's parameters with its secrets covered."""
    return masked(_kinds[job.kind].parameters if job.kind in _kinds else (), job.parameters)
