"""Running a message's jobs in a worker: claim, do, hand the outcome on.

The process may die anywhere here. Before the claim nothing has happened; after it the sweeper finds the job running
without a worker, until its outcome is in Redis; from then on only the outcome is needed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import db, tenant
from webapp.jobs.announcing import tell_pages
from webapp.jobs.claims import Claimed, claim_jobs
from webapp.jobs.kinds import (
    JOBS_QUEUE,
    PermanentError,
    PostponedError,
    Run,
    UnknownKindError,
    get_batch_size,
    get_kind,
)
from webapp.jobs.models import StaleAttemptError
from webapp.jobs.note_tasks import Notes, current_notes
from webapp.jobs.outcomes import (
    HandOverError,
    Outcome,
    clean,
    decode_outcome,
    encode_outcome,
    outcome_of_error,
    outcome_of_result,
)
from webapp.jobs.recording import record_outcomes
from webapp.jobs.streams import add_outcomes
from webapp.jobs.workers import Work, this_worker
from webapp.lib.clock import utc_now
from webapp.lib.log import logged

FLUSH_SECONDS = 0.1
HAND_ON_SECONDS = 1.0
OTHER_VERSION_PAUSE = timedelta(seconds=10)

logger = logging.getLogger(__name__)


def run_message(organisation_id: UUID, job_ids: Sequence[UUID]) -> set[str]:
    """Run those of the jobs that still wait; the names of the streams that outcomes went to."""
    worker = this_worker()
    streams: set[str] = set()
    with tenant(organisation_id), worker.holding(job_ids):
        claimed = claim_jobs(organisation_id, job_ids, worker.id, worker.name, utc_now())
        db.session.commit()
        tell_pages(organisation_id, [job.id for job in claimed])
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
            tell_pages(organisation_id, [outcome.job_id for outcome in outcomes])
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
    with _noting(notes, run, job.kind), logged(job_id=job.id, kind=job.kind, organisation_id=organisation_id):
        outcome = _outcome_of(run, job)
        if outcome is not None and get_batch_size(job.kind) == 1:
            _log_end(outcome, job)
    return outcome and _with_notes(outcome, notes, run)


def _log_end(outcome: Outcome, job: Claimed) -> None:
    """One line an attempt, for whoever reads the workers' logs; quick kinds would write thousands."""
    level = logging.WARNING if outcome.word == "failed" else logging.INFO
    words = "Attempt %s of %s: %s, the job is %s.%s"
    reason = f" {outcome.error}" if outcome.error else ""
    logger.log(level, words, job.attempt_count, job.attempt_limit, outcome.word, outcome.state, reason)


def _with_notes(outcome: Outcome, notes: Notes, run: Run) -> Outcome:
    """The outcome with what the attempt said of itself; if that is of no use, it is an error of the job's."""
    outcome.logs = notes.take_lines()
    try:
        told = (notes.progress_count, notes.total_count, clean(notes.checkpoint))
        outcome.progress_count, outcome.total_count, outcome.checkpoint = told
        return decode_outcome(encode_outcome(outcome))
    except (TypeError, ValueError, OverflowError) as error:
        words = PermanentError(f"What the job reported or returned cannot be kept: {error}")
        failed = outcome_of_error(run, outcome.kind, words, True, utc_now())
        failed.logs = outcome.logs
        return failed


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
    except BaseException as error:  # whatever a kind raises is this attempt's outcome, kept with its traceback
        tried_count = _tried_count(job)
        return outcome_of_error(run, job.kind, error, job.is_last_attempt, utc_now(), tried_count)
    finally:
        db.session.rollback()


def _tried_count(job: Claimed) -> int:
    """Attempts that were spent, this one included; those that the job was not to blame for raised its limit."""
    return max(1, min(job.attempt_count, get_kind(job.kind).attempt_limit - job.attempt_limit + job.attempt_count))


@contextmanager
def _noting(notes: Notes, run: Run, kind: str) -> Iterator[None]:
    """Until the end of the block this thread runs this job, and what it logs belongs to it."""
    worker = this_worker()
    token = current_notes.set(notes)
    worker.begin(Work("jobs.run_jobs", utc_now(), run.organisation_id, run.job_id, kind))
    try:
        yield
    finally:
        worker.begin(Work("jobs.run_jobs", utc_now()))
        current_notes.reset(token)
