"""Every look at the jobs' rows."""

from __future__ import annotations

from collections.abc import Sequence
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


def list_jobs_by_id(organisation_id: UUID, job_ids: Sequence[UUID]) -> Sequence[Job]:
    """Those of the jobs that exist, as they are now."""
    query = select(Job).where(Job.organisation_id == organisation_id, Job.id.in_(job_ids))
    return db.session.scalars(query.execution_options(populate_existing=True)).all()


def count_jobs_before(job: Job, most: int) -> int:
    """How many jobs, of every organisation, are sent before this one as things stand, up to `most`.

    Only that number leaves the other organisations; the function that counts is lent by the owner.
    """
    query = text("SELECT footfall_jobs_before(:organisation_id, :id, :most)")
    given = {"organisation_id": job.organisation_id, "id": job.id, "most": most}
    return int(db.session.execute(query, given).scalar() or 0)
