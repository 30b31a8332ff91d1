"""What can be done to jobs. Nothing here commits or sends."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from webapp.extensions import db
from webapp.jobs.kinds import Kind
from webapp.jobs.models import Job, JobAttempt
from webapp.jobs.outcomes import LOST
from webapp.jobs.parameters import read_parameters
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7


def create_job(
    organisation_id: UUID,
    kind: Kind,
    given: Mapping[str, Any],
    *,
    title: str | None = None,
    run_at: datetime | None = None,
    created_by: UUID | None = None,
    recurring_job_id: UUID | None = None,
) -> Job:
    """A pending job with checked parameters; raises ParametersError. Commit, then `dispatch`."""
    parameters = read_parameters(kind.parameters, given)
    now = utc_now()
    job = Job(
        organisation_id=organisation_id,
        id=uuid7(),
        kind=kind.name,
        queue=kind.queue,
        title=title or kind.title_of(parameters),
        parameters=parameters,
        attempt_limit=kind.attempt_limit,
        run_at=max(run_at or now, now),
        created_by=created_by,
        recurring_job_id=recurring_job_id,
    )
    db.session.add(job)
    db.session.flush()
    return job


def create_chunked_job(
    organisation_id: UUID,
    kind: str,
    title: str,
    *,
    parameters: dict[str, Any],
    subject_path: str,
    created_by: UUID | None,
) -> Job:
    """A job that its feature runs in chunks and ends by itself."""
    job = Job(
        organisation_id=organisation_id,
        id=uuid7(),
        kind=kind,
        queue="imports",
        title=title,
        parameters=parameters,
        subject_path=subject_path,
        created_by=created_by,
        in_chunks=True,
    )
    db.session.add(job)
    db.session.flush()
    return job


def begin_attempt(job: Job, worker: str) -> JobAttempt:
    """Start an attempt of a job in chunks; the one before it, if its worker died, is closed as lost."""
    _close_lost_attempt(job)
    attempt = job.begin(worker)
    db.session.add(attempt)
    db.session.flush()
    return attempt


def _close_lost_attempt(job: Job) -> None:
    if job.attempt_count == 0:
        return
    attempt = db.session.get(JobAttempt, (job.organisation_id, job.id, job.attempt_count))
    if attempt is None or attempt.ended_at is not None:
        return
    attempt.ended_at = utc_now()
    attempt.outcome = "lost"
    attempt.error = LOST
