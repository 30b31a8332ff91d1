"""Counting the jobs that end, for `/metrics`: once each, when the transaction that ends them is committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, inspect
from sqlalchemy.orm import Session

from webapp.jobs.models import Job, JobState
from webapp.metrics import count_job_end

ENDS = "footfall_ended_jobs"


@dataclass(frozen=True)
class End:
    """How a job ended; the times of its last attempt in seconds, None for a job that never ran."""

    kind: str
    state: str
    wait_seconds: float | None = None
    run_seconds: float | None = None


def note_end(session: Session, end: End) -> None:
    """Count it with the commit of the session's transaction; nothing is counted when that is rolled back."""
    session.info.setdefault(ENDS, []).append(end)


@event.listens_for(Session, "before_flush")
def _note_changed_jobs(session: Session, *_: Any) -> None:
    """Jobs that end as objects do it here; those that end by statements are noted by whoever executes them."""
    for job in session.dirty:
        if isinstance(job, Job) and job.state.is_final and _was_unfinished(job):
            note_end(session, _end_of(job))


@event.listens_for(Session, "after_commit")
def _count(session: Session) -> None:
    if session.in_nested_transaction():
        return
    for end in session.info.pop(ENDS, ()):
        count_job_end(end.kind, end.state, end.wait_seconds, end.run_seconds)


@event.listens_for(Session, "after_rollback")
def _forget(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info.pop(ENDS, None)


def _was_unfinished(job: Job) -> bool:
    before: Sequence[JobState] = inspect(job).attrs.state.history.deleted or ()
    return any(not state.is_final for state in before)


def _end_of(job: Job) -> End:
    began_at = job.claimed_at or job.started_at
    if began_at is None or job.ended_at is None:
        return End(job.kind, job.state.value)
    wait, run = began_at - job.run_at, job.ended_at - began_at
    return End(job.kind, job.state.value, wait.total_seconds(), run.total_seconds())
