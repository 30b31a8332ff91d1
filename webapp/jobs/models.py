"""Background work that a person can see: PostgreSQL remembers it, Dramatiq only carries its id."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.clock import utc_now
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum

MAX_ATTEMPTS = 3


class StaleAttemptError(Exception):
    """This attempt was given up and another has begun: whatever it still writes must not count."""


class JobState(enum.Enum):
    """`failed` is an end that trying again cannot mend, `dead` one after all attempts are spent."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"
    DISCARDED = "discarded"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATES


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED, JobState.DEAD, JobState.DISCARDED})
UNFINISHED_STATES = frozenset(JobState) - FINAL_STATES
WITHOUT_SUCCESS = FINAL_STATES - {JobState.COMPLETED}
TROUBLED_STATES = frozenset({JobState.FAILED, JobState.DEAD})
WAITING = "state IN ('pending', 'retrying') AND sent_at IS NULL AND NOT in_chunks"
IN_FLIGHT = "state IN ('pending', 'retrying', 'running') AND sent_at IS NOT NULL"
IS_RECURRING = "recurring_job_id IS NOT NULL"


class Job(Model):
    """One piece of background work. Every write of a run is fenced by `attempt_count`."""

    __tablename__ = "jobs"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index(None, "organisation_id", "state", "id"),
        Index(None, "organisation_id", "kind", "state", "id"),
        Index("ix_jobs_ended_at", "ended_at"),
        Index("ix_jobs_unfinished", "organisation_id", postgresql_where="state IN ('pending', 'retrying', 'running')"),
        Index("ix_jobs_waiting", "queue", "organisation_id", "kind", "run_at", "id", postgresql_where=WAITING),
        Index("ix_jobs_due", "queue", "run_at", postgresql_where=WAITING),
        Index("ix_jobs_in_flight", "queue", "organisation_id", "kind", postgresql_where=IN_FLIGHT),
        Index("ix_jobs_dead", "organisation_id", "ended_at", "id", postgresql_where="state = 'dead'"),
        Index("ix_jobs_recurring", "organisation_id", "recurring_job_id", "id", postgresql_where=IS_RECURRING),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    kind: Mapped[str]
    queue: Mapped[str] = mapped_column(default="jobs")
    title: Mapped[str]
    state: Mapped[JobState] = mapped_column(text_enum(JobState), default=JobState.PENDING)
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    checkpoint: Mapped[dict[str, Any] | None]
    """Where the job goes on after its worker was told to stop."""
    progress_count: Mapped[int] = mapped_column(BigInteger, default=0)
    total_count: Mapped[int | None] = mapped_column(BigInteger)
    attempt_count: Mapped[int] = mapped_column(default=0)
    attempt_limit: Mapped[int] = mapped_column(default=MAX_ATTEMPTS)
    redrive_count: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None]
    wait_reason: Mapped[str | None]
    """Why it runs only at `run_at`, when it was the job itself that put it off."""
    subject_path: Mapped[str | None]
    in_chunks: Mapped[bool] = mapped_column(default=False)
    """Its feature runs it in chunks and ends it; the dispatcher and the sweeper leave it alone."""
    recurring_job_id: Mapped[UUID | None]
    worker_id: Mapped[UUID | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]
    run_at: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]
    """Set from the moment it is handed to the workers until it ends or waits again."""
    claimed_at: Mapped[datetime | None]
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

    def complete(self, result: dict[str, Any] | None = None) -> None:
        self._end(JobState.COMPLETED)
        self.result = result
        self.error = None

    def fail(self, error: str) -> None:
        """End, because no other attempt could help."""
        self._end(JobState.FAILED)
        self.error = error

    def cancel(self) -> None:
        """Cancel at once what has not begun; ask what runs to stop at its next safe point.

        What runs in chunks is always asked: its feature has rows of its own to end with it.
        """
        if self.state.is_final:
            return
        self.cancel_requested_at = self.cancel_requested_at or utc_now()
        if self.state is not JobState.RUNNING and not self.in_chunks:
            self.end_cancelled()

    def end_cancelled(self) -> None:
        self._end(JobState.CANCELLED)

    @property
    def may_begin_again(self) -> bool:
        """Whether it ended without success; what ran in chunks begins again where it began, on its own page."""
        return self.state in WITHOUT_SUCCESS and not self.in_chunks

    def begin_again(self, attempt_limit: int = MAX_ATTEMPTS) -> None:
        """After an end without success: as many attempts as its kind has at first, from now on."""
        if self.state is JobState.DEAD:
            self.redrive_count += 1
        self.state = JobState.PENDING
        self.attempt_limit = self.attempt_count + attempt_limit
        self.ended_at = self.cancel_requested_at = self.sent_at = self.wait_reason = None
        self.run_at = utc_now()

    @property
    def may_be_discarded(self) -> bool:
        return self.state in TROUBLED_STATES

    def discard(self) -> None:
        """Put a failed or dead job away; it can still begin again until it is pruned."""
        self.state = JobState.DISCARDED

    def put_back(self) -> None:
        """Undo a discard."""
        self.state = JobState.DEAD if self.attempt_count >= self.attempt_limit else JobState.FAILED

    def _end(self, state: JobState) -> None:
        self.state = state
        self.ended_at = utc_now()
        self.sent_at = self.wait_reason = None


class JobAttempt(Model):
    """One run of a job, by one worker. `outcome` is how it ended, in a word."""

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
    outcome: Mapped[str | None]
    error: Mapped[str | None]
    traceback: Mapped[str | None]


class JobLog(Model):
    """A line that an attempt wrote."""

    __tablename__ = "job_logs"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "job_id"], ["jobs.organisation_id", "jobs.id"], ondelete="CASCADE"),
    )

    organisation_id: Mapped[TenantKey]
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]


class JobSample(Model):
    """How far a job was at a time, for its chart."""

    __tablename__ = "job_samples"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id", "job_id"], ["jobs.organisation_id", "jobs.id"], ondelete="CASCADE"),
    )

    organisation_id: Mapped[TenantKey]
    job_id: Mapped[UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    progress_count: Mapped[int] = mapped_column(BigInteger)


class RecurringJob(Model):
    """A job that begins again and again, by a schedule in a time zone."""

    __tablename__ = "recurring_jobs"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index("ix_recurring_jobs_next_run_at", "next_run_at"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    kind: Mapped[str]
    title: Mapped[str]
    parameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    schedule: Mapped[str]
    """Five fields of cron, in `time_zone`."""
    time_zone: Mapped[str]
    is_enabled: Mapped[bool] = mapped_column(default=True)
    next_run_at: Mapped[datetime | None]
    last_run_at: Mapped[datetime | None]
    last_job_id: Mapped[UUID | None]
    skipped_at: Mapped[datetime | None]
    """The time by its schedule at which nothing was started, and why, until it runs again."""
    skip_reason: Mapped[str | None]
    created_by: Mapped[UUID | None]
    created_at: Mapped[CreatedAt]

    def skip(self, due_at: datetime, reason: str) -> None:
        """Say why nothing began at a time of the schedule."""
        self.skipped_at, self.skip_reason = due_at, reason

    def note_run(self, job: Job) -> None:
        """Say which job began last."""
        self.last_job_id, self.last_run_at = job.id, job.created_at
        self.skipped_at = self.skip_reason = None


class PausedQueue(Model):
    """A queue from which the workers take nothing for now: the whole installation's, not a tenant's."""

    __tablename__ = "paused_queues"
    __table_args__ = (ForeignKeyConstraint(["paused_by"], ["users.id"]),)

    queue: Mapped[str] = mapped_column(primary_key=True)
    paused_at: Mapped[datetime] = mapped_column(default=utc_now)
    paused_by: Mapped[UUID | None]


class RateReservation(Model):
    """The moment at which a job may make a request that is limited for its organisation."""

    __tablename__ = "rate_reservations"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        Index(None, "organisation_id", "limit_name", "reserved_at"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    limit_name: Mapped[str]
    job_id: Mapped[UUID]
    reserved_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
