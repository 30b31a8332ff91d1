"""Running a message's jobs in a worker: claim, do, hand the outcome on.

The process may die anywhere here. Before the claim nothing has happened; after it the sweeper finds the job running
without a worker, until its outcome is in Redis; from then on only the outcome is needed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import database_is_away, db, tenant
from webapp.jobs.claims import Claimed, claim_jobs, note_progress
from webapp.jobs.kinds import JOBS_QUEUE, PostponedError, Run, UnknownKindError, get_kind
from webapp.jobs.live import publish_jobs
from webapp.jobs.models import StaleAttemptError
from webapp.jobs.outcomes import (
    CancelledByPersonError,
    HandOverError,
    LogLine,
    Outcome,
    clean,
    outcome_of_error,
    outcome_of_result,
)
from webapp.jobs.recording import add_logs, log_row, record_outcomes
from webapp.jobs.streams import add_outcomes
from webapp.jobs.workers import Work, this_worker
from webapp.lib.clock import utc_now
from webapp.lib.log import logged

REPORT_SECONDS = 0.25
SAMPLE_SECONDS = 1.0
FLUSH_SECONDS = 0.1
HAND_ON_SECONDS = 1.0
LOG_LIMIT = 1_000
MESSAGE_LIMIT = 2_000
OTHER_VERSION_PAUSE = timedelta(seconds=10)

logger = logging.getLogger(__name__)
_notes: ContextVar[Notes | None] = ContextVar("footfall_job_notes", default=None)


def run_message(organisation_id: UUID, job_ids: Sequence[UUID]) -> set[str]:
    """Run those of the jobs that still wait; the names of the streams that outcomes went to."""
    worker = this_worker()
    streams: set[str] = set()
    with tenant(organisation_id), worker.holding(job_ids):
        claimed = claim_jobs(organisation_id, job_ids, worker.id, worker.name, utc_now())
        db.session.commit()
        publish_jobs(organisation_id, [job.id for job in claimed])
        for outcomes in _in_portions(_run_one(organisation_id, job) for job in claimed):
            streams |= _hand_on(organisation_id, outcomes)
    return streams


def _hand_on(organisation_id: UUID, outcomes: list[Outcome]) -> set[str]:
    """The work is done, so its outcome must not be lost: to Redis; while that is away, to PostgreSQL at once; while
    both are away, wait for the first to come back."""
    this_worker().count_done(JOBS_QUEUE, len(outcomes))
    while True:
        try:
            return add_outcomes(current_app.extensions["broker"], outcomes)
        except RedisError as error:
            logger.warning("An outcome cannot be handed on: %s", error)
        try:
            record_outcomes(organisation_id, outcomes)
            db.session.commit()
            return set()
        except SQLAlchemyError as error:
            db.session.rollback()
            logger.warning("Nor can it be written: %s", error)
        time.sleep(HAND_ON_SECONDS)


def _in_portions(outcomes: Iterable[Outcome | None]) -> Iterator[list[Outcome]]:
    """What became of quick jobs goes on its way together, a few times a second."""
    portion: list[Outcome] = []
    began = time.monotonic()
    for outcome in outcomes:
        if outcome is not None:
            portion.append(outcome)
        if portion and time.monotonic() - began > FLUSH_SECONDS:
            yield portion
            portion, began = [], time.monotonic()
    if portion:
        yield portion


def _run_one(organisation_id: UUID, job: Claimed) -> Outcome | None:
    """The outcome of one attempt; None when another attempt has taken its place."""
    notes = Notes(organisation_id, job.id, job.attempt_count)
    run = Run(organisation_id, job.id, job.attempt_count, job.parameters, job.checkpoint, notes.report, notes.add_text)
    with _noting(notes, job), logged(job_id=job.id, kind=job.kind, organisation_id=organisation_id):
        outcome = _outcome_of(run, job)
    if outcome is not None:
        outcome.progress_count, outcome.total_count = notes.progress_count, notes.total_count
        outcome.checkpoint = clean(notes.checkpoint)
        outcome.logs = notes.take_lines()
    return outcome


def _outcome_of(run: Run, job: Claimed) -> Outcome | None:
    try:
        if this_worker().stopping.is_set():
            raise HandOverError
        return outcome_of_result(run, job.kind, get_kind(job.kind).run(run), utc_now())
    except StaleAttemptError:
        return None
    except UnknownKindError:
        wait = PostponedError(utc_now() + OTHER_VERSION_PAUSE, "A worker of another version has to run it.")
        return outcome_of_error(run, job.kind, wait, job.is_last_attempt, utc_now())
    except Exception as error:  # whatever a kind raises is this attempt's outcome, kept with its traceback
        tried_count = _tried_count(job)
        return outcome_of_error(run, job.kind, error, job.is_last_attempt, utc_now(), tried_count)
    finally:
        db.session.rollback()


def _tried_count(job: Claimed) -> int:
    """Attempts that were spent, this one included; those that the job was not to blame for raised its limit."""
    return max(1, min(job.attempt_count, get_kind(job.kind).attempt_limit - job.attempt_limit + job.attempt_count))


class Notes:
    """What an attempt says while it runs: how far it is, and lines for its log."""

    def __init__(self, organisation_id: UUID, job_id: UUID, number: int) -> None:
        self._organisation_id = organisation_id
        self._job_id = job_id
        self._number = number
        self._lines: list[LogLine] = []
        self._position = 0
        self._written_at = self._sampled_at = 0.0
        self.progress_count: int | None = None
        self.total_count: int | None = None
        self.checkpoint: dict[str, Any] | None = None

    def report(self, progress_count: int, total_count: int | None, checkpoint: dict[str, Any] | None) -> None:
        """Keep it, write it when it is time, and raise what stops the job here."""
        self.progress_count, self.total_count = progress_count, total_count
        if checkpoint is not None:
            self.checkpoint = checkpoint
        is_due = time.monotonic() - self._written_at > REPORT_SECONDS
        if (is_due or checkpoint is not None) and self._write():
            raise CancelledByPersonError
        if checkpoint is not None and this_worker().stopping.is_set():
            raise HandOverError

    def add_text(self, text: str) -> None:
        """A line for the job's page."""
        self.add("INFO", text)

    def add(self, level: str, text: str) -> None:
        """Keep a line, up to a limit; it is written with the next report, or at the end."""
        self._position += 1
        if self._position > LOG_LIMIT:
            return
        words = clean(text)[:MESSAGE_LIMIT] if self._position < LOG_LIMIT else "What came after this was left out."
        self._lines.append(LogLine(self._position, utc_now(), level, words))

    def take_lines(self) -> list[LogLine]:
        """Lines that were not written yet."""
        lines, self._lines = self._lines, []
        return lines

    def _write(self) -> bool:
        """Commit what is known; whether somebody asked the job to stop.

        A database that is away is no reason to give up work that goes on: the end will say how far it came.
        """
        now = time.monotonic()
        should_sample = now - self._sampled_at > SAMPLE_SECONDS
        try:
            is_cancelled = self._write_rows(should_sample)
        except SQLAlchemyError as error:
            db.session.rollback()
            if not database_is_away(error):
                raise
            logger.warning("A job's progress could not be written: %s", error)
            return False
        self._written_at = now
        self._sampled_at = now if should_sample else self._sampled_at
        publish_jobs(self._organisation_id, [self._job_id])
        return is_cancelled

    def _write_rows(self, should_sample: bool) -> bool:
        is_cancelled = note_progress(
            self._organisation_id,
            self._job_id,
            self._number,
            self.progress_count or 0,
            self.total_count,
            clean(self.checkpoint),
            utc_now() if should_sample else None,
        )
        add_logs(self._organisation_id, [log_row(self._job_id, self._number, line) for line in self._lines])
        db.session.commit()
        self._lines = []
        return is_cancelled


@contextmanager
def _noting(notes: Notes, job: Claimed) -> Iterator[None]:
    """Until the end of the block this thread runs this job, and what it logs belongs to it."""
    worker = this_worker()
    token = _notes.set(notes)
    worker.begin(Work("jobs.run_jobs", utc_now(), notes._organisation_id, job.id, job.kind))
    try:
        yield
    finally:
        worker.begin(Work("jobs.run_jobs", utc_now()))
        _notes.reset(token)


class JobLogHandler(logging.Handler):
    """Copies what is logged while a job runs, by whatever library, into the job's own log."""

    def emit(self, record: logging.LogRecord) -> None:
        notes = _notes.get()
        if notes is not None and not record.name.startswith("webapp.jobs."):
            notes.add(record.levelname, record.getMessage())


def keep_logs_of_jobs() -> None:
    """Let the root logger's lines, from INFO on, reach the jobs that wrote them; twice changes nothing."""
    root = logging.getLogger()
    if not any(isinstance(handler, JobLogHandler) for handler in root.handlers):
        root.addHandler(JobLogHandler(logging.INFO))
