"""What operators read across organisations, through functions that the owner lends for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Row, select, text

from webapp.accounts.models import SYSTEM_ORGANISATION_ID, Organisation
from webapp.extensions import db
from webapp.jobs.models import JobState

PAGE_SIZE = 40
COUNT_LIMIT = 100_000
ORGANISATIONS_LISTED = 1_000
LAST_ID = UUID(int=2**128 - 1)
LIST_JOBS = text("SELECT * FROM footfall_list_jobs(:organisation_id, :states, :kind, :before, :most)")
LIST_DEAD_LETTERS = text(
    "SELECT * FROM footfall_list_dead_letters(:organisation_id, :kind,"
    " coalesce(CAST(:before_at AS timestamptz), 'infinity'), :before, :most)"
)
COUNT_DEAD_LETTERS = text("SELECT * FROM footfall_count_dead_letters(:organisation_id, :kind, :most)")
QUEUE_STATE = text("SELECT * FROM footfall_queue_state()")


@dataclass(frozen=True)
class JobLine:
    """A job of some organisation, as lists show it."""

    organisation_id: UUID
    organisation_name: str
    id: UUID
    kind: str
    title: str
    state: JobState
    progress_count: int
    total_count: int | None
    attempt_count: int
    redrive_count: int
    error: str | None
    is_cancelling: bool
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Wanted:
    """Which jobs an operator wants to see; what is None is not asked."""

    organisation_id: UUID | None = None
    state: JobState | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Page:
    """Some jobs, the newest first, and whether others follow."""

    jobs: Sequence[JobLine]
    has_more: bool


@dataclass(frozen=True)
class Count:
    """How many there are; not exact when it is "more than that"."""

    number: int
    is_exact: bool

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_exact else f"over {self.number:,}"


@dataclass(frozen=True)
class WaitingJobs:
    """What PostgreSQL knows of a queue: jobs that are due and not sent, and those that are on their way or run."""

    waiting: Count
    in_flight: Count
    oldest_at: datetime | None


def list_jobs(wanted: Wanted, *, before: UUID | None = None, limit: int = PAGE_SIZE) -> Page:
    """Jobs of all organisations, those that were asked for last first."""
    states = [wanted.state] if wanted.state else list(JobState)
    given = {
        "organisation_id": wanted.organisation_id,
        "states": [state.value for state in states] if wanted.state or wanted.kind else None,
        "kind": wanted.kind,
        "before": before or LAST_ID,
        "most": limit + 1,
    }
    return _page(db.session.execute(LIST_JOBS, given).all(), limit)


def list_dead_letters(wanted: Wanted, *, before: tuple[datetime, UUID] | None = None, limit: int = PAGE_SIZE) -> Page:
    """Dead jobs of all organisations, those that died last first."""
    before_at, before_id = before or (None, LAST_ID)
    given = {
        "organisation_id": wanted.organisation_id,
        "kind": wanted.kind,
        "before_at": before_at,
        "before": before_id,
        "most": limit + 1,
    }
    return _page(db.session.execute(LIST_DEAD_LETTERS, given).all(), limit)


def count_dead_letters(wanted: Wanted) -> dict[UUID, int]:
    """How many match, for each organisation that has some, counted up to COUNT_LIMIT + 1."""
    given = {"organisation_id": wanted.organisation_id, "kind": wanted.kind, "most": COUNT_LIMIT + 1}
    return {row[0]: row[1] for row in db.session.execute(COUNT_DEAD_LETTERS, given)}


def capped(number: int) -> Count:
    """A number that was counted up to a little more than COUNT_LIMIT."""
    return Count(min(number, COUNT_LIMIT), number <= COUNT_LIMIT)


def get_waiting_jobs() -> dict[str, WaitingJobs]:
    """How jobs stand in PostgreSQL, by queue."""
    return {row[0]: WaitingJobs(capped(row[1]), capped(row[2]), row[3]) for row in db.session.execute(QUEUE_STATE)}


def list_organisations() -> Sequence[Organisation]:
    """All organisations by name, up to a thousand; the system's own last."""
    query = select(Organisation).order_by(Organisation.id == SYSTEM_ORGANISATION_ID, Organisation.name, Organisation.id)
    return db.session.scalars(query.limit(ORGANISATIONS_LISTED)).all()


def get_organisation_names(organisation_ids: Iterable[UUID]) -> Mapping[UUID, str]:
    """Names by id."""
    query = select(Organisation.id, Organisation.name).where(Organisation.id.in_(set(organisation_ids)))
    return {row[0]: row[1] for row in db.session.execute(query)}


def _page(rows: Sequence[Row[tuple[object, ...]]], limit: int) -> Page:
    lines = [JobLine(**{**row._mapping, "state": JobState(row.state)}) for row in rows]
    return Page(lines[:limit], len(lines) > limit)
