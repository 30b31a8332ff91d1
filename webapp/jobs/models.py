"""Background work that a person can see: PostgreSQL remembers it, Dramatiq only carries its id."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum

MAX_ATTEMPTS = 3
RETRY_BASE = timedelta(seconds=5)


class StaleAttemptError(Exception):
    """This attempt was given up and another has begun: whatever it still writes must not count."""


class JobState(enum.Enum):
    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD})


class Job(Model):
    """One piece of background work. Every write of a run is fenced by `attempt_count`."""

    __tablename__ = "jobs"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index(None, "organisation_id", "state", "id"),
        Index("ix_jobs_ended_at", "ended_at"),
        Index("ix_jobs_unfinished", "run_at", postgresql_where="state IN ('pending', 'retrying', 'running')"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    kind: Mapped[str]
    title: Mapped[str]
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.PENDING)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    progress_count: Mapped[int] = mapped_column(BigInteger, default=0)
    total_count: Mapped[int | None] = mapped_column(BigInteger)
    attempt_count: Mapped[int] = mapped_column(default=0)
    attempt_limit: Mapped[int] = mapped_column(default=MAX_ATTEMPTS)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    subject_path: Mapped[str | None]
    in_chunks: Mapped[bool] = mapped_column(default=False)
    """Its feature runs it in chunks and ends it; `run_job` and the sweeper leave it alone."""
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    run_at: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    cancel_requested_at: Mapped[datetime | None]

    def begin(self, worker: str) -> JobAttempt:
        """Start the next attempt, which from now on is the only one that may write."""
        now = utc_now()
        self.attempt_count += 1
        self.state = JobState.RUNNING
        self.started_at = self.started_at or now
        self.error = None
        return JobAttempt(
            organisation_id=self.organisation_id,
            job_id=self.id,
            number=self.attempt_count,
            worker=worker,
            started_at=now,
        )

    @property
    def is_spent(self) -> bool:
        """Whether no attempt is left; a worker's death counts as one too."""
        return self.attempt_count >= self.attempt_limit

    def check_attempt(self, number: int) -> None:
        """Raise StaleAttemptError unless attempt `number` is the running one."""
        if self.attempt_count != number or self.state is not JobState.RUNNING:
            raise StaleAttemptError(f"Attempt {number} of job {self.id} is over.")

    def complete(self, result: dict[str, Any] | None = None) -> None:
        self._end(JobState.COMPLETED)
        self.result = result
        self.error = None

    def fail(self, error: str, *, may_retry: bool = True) -> None:
        """Plan another attempt, or end as dead once all are spent and as failed when none can help."""
        self.error = error
        if not may_retry:
            self._end(JobState.FAILED)
        elif self.is_spent:
            self._end(JobState.DEAD)
        else:
            self._plan_retry()

    def begin_again(self) -> None:
        """After an end without success: as many attempts as at first, from now on."""
        self.state = JobState.PENDING
        self.attempt_limit = self.attempt_count + MAX_ATTEMPTS
        self.ended_at = self.cancel_requested_at = self.sent_at = None
        self.run_at = utc_now()

    def cancel(self) -> None:
        """Cancel at once what has not begun; ask what runs to stop at its next safe point."""
        if self.state.is_final:
            return
        self.cancel_requested_at = self.cancel_requested_at or utc_now()
        if self.state is not JobState.RUNNING:
            self.end_cancelled()

    def end_cancelled(self) -> None:
        self._end(JobState.CANCELLED)

    def _plan_retry(self) -> None:
        self.state = JobState.RETRYING
        self.run_at = utc_now() + RETRY_BASE * 2 ** (self.attempt_count - 1)
        self.sent_at = None

    def _end(self, state: JobState) -> None:
        self.state = state
        self.ended_at = utc_now()


class JobAttempt(Model):
    """One run of a job, by one worker."""

    __tablename__ = "job_attempts"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "job_id"], ["jobs.organisation_id", "jobs.id"], ondelete="CASCADE"),
    )

    organisation_id: Mapped[TenantKey]
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    worker: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    error: Mapped[str | None]
    traceback: Mapped[str | None]
