"""Every look at the jobs' rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text, tuple_
from sqlalchemy.orm import defer

from webapp.extensions import db
from webapp.jobs.filters import JobFilter
from webapp.jobs.matching import count_by_state, find_matching
from webapp.jobs.models import Job, JobLog, JobSample, JobState
from webapp.lib.ids import uuid7_time

PAGE_SIZE = 40
COUNT_LIMIT = 1_000
LOG_PAGE_SIZE = 500


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first, and where those that follow begin; None at the end.

    `looked_until` is set when the page is not full because a text was looked for in enough jobs: there may be more
    further back, and the next page begins there.
    """

    jobs: Sequence[Job]
    next_before: UUID | None = None
    looked_until: UUID | None = None

    @property
    def looked_until_at(self) -> datetime | None:
        """How far back was looked, when that is not all the way."""
        return None if self.looked_until is None else uuid7_time(self.looked_until)


@dataclass(frozen=True)
class JobCount:
    """How many there are; not exact when it is "more than that"."""

    number: int
    is_exact: bool


def get_job(organisation_id: UUID, job_id: UUID) -> Job | None:
    return db.session.get(Job, (organisation_id, job_id))


def get_job_for_update(organisation_id: UUID, job_id: UUID) -> Job | None:
    """The job, re-read and locked until the transaction ends."""
    key = (organisation_id, job_id)
    return db.session.get(Job, key, with_for_update=True, populate_existing=True)


def list_jobs_for_update(organisation_id: UUID, job_ids: Collection[UUID]) -> Sequence[Job]:
    """Those of the jobs that exist, re-read, and locked in the order of their keys until the transaction ends."""
    query = select(Job).where(Job.organisation_id == organisation_id, Job.id.in_(job_ids)).order_by(Job.id)
    return db.session.scalars(query.with_for_update().execution_options(populate_existing=True)).all()


def list_jobs(
    organisation_id: UUID, job_filter: JobFilter, *, before: UUID | None = None, limit: int = PAGE_SIZE
) -> JobPage:
    """The organisation's jobs that match, newest first (ids are in order of time), from before the given one.

    Their results and checkpoints, which may be large, are left in the database until somebody reads them.
    """
    found = find_matching(organisation_id, job_filter, before=before, limit=limit + 1)
    shown = found.ids[:limit]
    if len(found.ids) > limit:
        return JobPage(_list_in_order(organisation_id, shown), next_before=shown[-1])
    return JobPage(
        _list_in_order(organisation_id, shown), next_before=found.looked_until, looked_until=found.looked_until
    )


def _list_in_order(organisation_id: UUID, job_ids: Sequence[UUID]) -> Sequence[Job]:
    query = select(Job).where(Job.organisation_id == organisation_id, Job.id.in_(job_ids)).order_by(Job.id.desc())
    return db.session.scalars(query.options(defer(Job.result), defer(Job.checkpoint))).all()


def count_jobs_by_state(organisation_id: UUID, job_filter: JobFilter, most: int = COUNT_LIMIT) -> dict[JobState, int]:
    """How many match in each state that the filter asks for; `most` + 1 stands for more than that.

    With a text, those among the newest jobs that a list would look at.
    """
    counts, _ = count_by_state(organisation_id, job_filter, most + 1)
    return counts


def count_matching(organisation_id: UUID, job_filter: JobFilter, most: int = COUNT_LIMIT) -> JobCount:
    """How many match in all, up to `most`."""
    counts, all_looked_at = count_by_state(organisation_id, job_filter, most + 1)
    number = sum(counts.values())
    return JobCount(min(number, most), is_exact=number <= most and all_looked_at)


def count_unfinished_jobs(organisation_id: UUID) -> int:
    """How many are waiting or running; there are never many."""
    query = text(
        "SELECT count(*) FROM jobs WHERE organisation_id = :organisation_id"
        " AND state IN ('pending', 'retrying', 'running')"
    )
    return int(db.session.execute(query, {"organisation_id": organisation_id}).scalar_one())


def list_logs(
    organisation_id: UUID, job_id: UUID, *, after: tuple[int, int] | None = None, limit: int = LOG_PAGE_SIZE
) -> Sequence[JobLog]:
    """Lines that a job wrote, the first one first, from after the given (attempt's number, position)."""
    query = select(JobLog).where(JobLog.organisation_id == organisation_id, JobLog.job_id == job_id)
    if after is not None:
        query = query.where(tuple_(JobLog.number, JobLog.position) > after)
    return db.session.scalars(query.order_by(JobLog.number, JobLog.position).limit(limit)).all()


def list_samples(organisation_id: UUID, job_id: UUID) -> Sequence[JobSample]:
    """How far a job was at which time, the earliest first: about one for each second that it ran."""
    query = select(JobSample).where(JobSample.organisation_id == organisation_id, JobSample.job_id == job_id)
    return db.session.scalars(query.order_by(JobSample.at)).all()


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
