"""What can be done to jobs. Nothing here commits or sends."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from webapp.extensions import db
from webapp.jobs.models import Job, JobAttempt, JobState
from webapp.jobs.queries import get_job_for_update
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7

LOST = "The worker stopped without a word."


class JobMissingError(Exception):
    """There is no such job in this organisation."""


def create_job(
    organisation_id: UUID,
    kind: str,
    title: str,
    *,
    parameters: dict[str, Any] | None = None,
    subject_path: str | None = None,
    created_by: UUID | None = None,
    run_at: datetime | None = None,
    in_chunks: bool = False,
) -> Job:
    """A pending job. Send `run_job` after the commit, or leave that to the scheduler."""
    job = Job(
        organisation_id=organisation_id,
        id=uuid7(),
        kind=kind,
        title=title,
        parameters=parameters or {},
        subject_path=subject_path,
        created_by=created_by,
        run_at=run_at or utc_now(),
        in_chunks=in_chunks,
    )
    db.session.add(job)
    db.session.flush()
    return job


def begin_attempt(job: Job, worker: str) -> JobAttempt:
    """Start an attempt; the one before it, if its worker died, is closed as lost."""
    _close_lost_attempt(job)
    attempt = job.begin(worker)
    db.session.add(attempt)
    db.session.flush()
    return attempt


def end_attempt(organisation_id: UUID, job_id: UUID, number: int, error: str = "", traceback: str = "") -> Job:
    """Close attempt `number` and return its job, locked; raises StaleAttemptError when it is over."""
    job = get_job_for_update(organisation_id, job_id)
    if job is None:
        raise JobMissingError(str(job_id))
    job.check_attempt(number)
    attempt = db.session.get_one(JobAttempt, (organisation_id, job_id, number))
    attempt.ended_at = utc_now()
    attempt.error = error or None
    attempt.traceback = traceback or None
    return job


def cancel_unbegun(job: Job) -> bool:
    """End a job that was cancelled before this attempt; False when it may run."""
    if job.cancel_requested_at is None:
        return False
    _close_lost_attempt(job)
    job.end_cancelled()
    return True


def end_lost(job: Job) -> bool:
    """End a job whose workers died until no attempt was left; False when it may run."""
    if job.state is not JobState.RUNNING or not job.is_spent:
        return False
    _close_lost_attempt(job)
    job.fail(f"{LOST} That was the last of its attempts.")
    return True


def _close_lost_attempt(job: Job) -> None:
    if job.attempt_count == 0:
        return
    attempt = db.session.get(JobAttempt, (job.organisation_id, job.id, job.attempt_count))
    if attempt is None or attempt.ended_at is not None:
        return
    attempt.ended_at = utc_now()
    attempt.error = LOST
