"""Every look at the jobs' rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from webapp.extensions import db
from webapp.jobs.models import Job, JobAttempt, JobState

PAGE_SIZE = 40


def get_job(organisation_id: UUID, job_id: UUID) -> Job | None:
    return db.session.get(Job, (organisation_id, job_id))


def get_job_for_update(organisation_id: UUID, job_id: UUID) -> Job | None:
    """The job, re-read and locked until the transaction ends."""
    key = (organisation_id, job_id)
    return db.session.get(Job, key, with_for_update=True, populate_existing=True)


def list_jobs(
    organisation_id: UUID, *, state: JobState | None = None, before: UUID | None = None, limit: int = PAGE_SIZE
) -> Sequence[Job]:
    """The organisation's jobs, newest first (ids are in order of time), from before the given one."""
    query = select(Job).where(Job.organisation_id == organisation_id)
    if state is not None:
        query = query.where(Job.state == state)
    if before is not None:
        query = query.where(Job.id < before)
    return db.session.scalars(query.order_by(Job.id.desc()).limit(limit)).all()


def count_unfinished_jobs(organisation_id: UUID) -> int:
    """How many are waiting or running; there are never many."""
    query = text(
        "SELECT count(*) FROM jobs WHERE organisation_id = :organisation_id"
        " AND state IN ('pending', 'retrying', 'running')"
    )
    return int(db.session.execute(query, {"organisation_id": organisation_id}).scalar_one())


def list_attempts(organisation_id: UUID, job_id: UUID) -> Sequence[JobAttempt]:
    """Attempts of a job, the first one first."""
    query = select(JobAttempt).where(JobAttempt.organisation_id == organisation_id, JobAttempt.job_id == job_id)
    return db.session.scalars(query.order_by(JobAttempt.number)).all()


def find_due_jobs(now: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """(organisation, job) of every organisation that are due and were not sent, the longest waiting first.

    It looks across organisations, so it asks a function that the owner lent to the app's role.
    """
    rows = db.session.execute(text("SELECT * FROM footfall_due_jobs(:now, :limit)"), {"now": now, "limit": limit})
    return [(row[0], row[1]) for row in rows]


def find_ended_jobs(since: datetime, limit: int) -> list[tuple[UUID, UUID]]:
    """(organisation, job) of every organisation that ended since then, the earliest first; as `find_due_jobs`."""
    rows = db.session.execute(
        text("SELECT * FROM footfall_ended_jobs(:since, :limit)"), {"since": since, "limit": limit}
    )
    return [(row[0], row[1]) for row in rows]
