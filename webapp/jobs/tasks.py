"""Running jobs: claim, do, record, and say so."""

from __future__ import annotations

import os
import socket
import traceback as tracebacks
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

from flask import current_app
from sqlalchemy import text

from webapp.extensions import db, tenant
from webapp.jobs.broker import actor
from webapp.jobs.kinds import PermanentError, Run, get_kind
from webapp.jobs.live import publish_job
from webapp.jobs.models import StaleAttemptError
from webapp.jobs.queries import find_due_jobs, find_ended_jobs, get_job, get_job_for_update
from webapp.jobs.service import begin_attempt, cancel_unbegun, end_attempt, end_lost
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel
from webapp.live.publish import has_ended

DUE_LIMIT = 200
LOST_END_WINDOW = timedelta(minutes=2)
ERROR_LIMIT = 2_000


class JobCancelledError(Exception):
    """Somebody asked this job to stop."""


@actor("default")
def run_job(organisation: str, job: str) -> None:
    """Run one job, unless it is running or over: a message that comes twice does nothing."""
    organisation_id, job_id = UUID(organisation), UUID(job)
    with tenant(organisation_id), alive(job_id) as is_mine:
        if is_mine:
            _run(organisation_id, job_id)


@actor("default")
def send_due_jobs() -> None:
    """Send what is due: planned for later, to be retried, never sent, or left by a dead worker."""
    for organisation_id, job_id in find_due_jobs(utc_now(), DUE_LIMIT):
        with tenant(organisation_id):
            job = get_job_for_update(organisation_id, job_id)
            if job is not None:
                job.sent_at = utc_now()
            db.session.commit()
        run_job.send(str(organisation_id), str(job_id))


@actor("default")
def publish_lost_ends() -> None:
    """Tell pages what ended while its worker died, or lost Redis, before it could say so."""
    broker = current_app.extensions["broker"]
    for organisation_id, job_id in find_ended_jobs(utc_now() - LOST_END_WINDOW, DUE_LIMIT):
        if has_ended(broker, job_channel(organisation_id, job_id)):
            continue
        with tenant(organisation_id):
            job = get_job(organisation_id, job_id)
            if job is not None and job.state.is_final:
                publish_job(broker, job)
            db.session.rollback()


@contextmanager
def alive(job_id: UUID) -> Iterator[bool]:
    """Hold the job's advisory lock on a connection of its own: PostgreSQL frees it when this worker dies.

    Yields False when another worker holds it.
    """
    with db.engine.connect() as connection:
        key = {"key": str(job_id)}
        is_mine = connection.execute(text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), key).scalar_one()
        connection.commit()
        try:
            yield bool(is_mine)
        finally:
            if is_mine:
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)
                connection.commit()


def worker_name() -> str:
    """This process, as the jobs pages name it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _run(organisation_id: UUID, job_id: UUID) -> None:
    run = _claim(organisation_id, job_id)
    if run is None:
        return
    try:
        result = get_kind(run[0]).run(run[1])
    except StaleAttemptError:
        db.session.rollback()
    except JobCancelledError:
        db.session.rollback()
        _end(run[1], None)
    except Exception as error:  # whatever a kind raises is this attempt's outcome, kept with its traceback
        db.session.rollback()
        _end_failed(run[1], error)
    else:
        _end(run[1], result)


def _claim(organisation_id: UUID, job_id: UUID) -> tuple[str, Run] | None:
    job = get_job_for_update(organisation_id, job_id)
    if job is None or job.state.is_final or job.run_at > utc_now():
        db.session.rollback()
        return None
    if cancel_unbegun(job) or end_lost(job):
        db.session.commit()
        publish_job(current_app.extensions["broker"], job)
        return None
    number = begin_attempt(job, worker_name()).number
    run = job.kind, Run(organisation_id, job_id, number, job.parameters, _reporter(organisation_id, job_id, number))
    db.session.commit()
    publish_job(current_app.extensions["broker"], job)
    return run


def _reporter(organisation_id: UUID, job_id: UUID, number: int) -> Callable[[int, int | None], None]:
    """The attempt's way to say how far it is, and to hear that it should stop."""

    def report(progress_count: int, total_count: int | None) -> None:
        job = get_job_for_update(organisation_id, job_id)
        if job is None:
            raise StaleAttemptError(str(job_id))
        job.check_attempt(number)
        if job.cancel_requested_at is not None:
            raise JobCancelledError
        job.progress_count, job.total_count = progress_count, total_count
        db.session.commit()
        publish_job(current_app.extensions["broker"], job)

    return report


def _end(run: Run, result: dict[str, object] | None) -> None:
    job = end_attempt(run.organisation_id, run.job_id, run.number)
    if result is None:
        job.end_cancelled()
    else:
        job.complete(result)
    db.session.commit()
    publish_job(current_app.extensions["broker"], job)


def _end_failed(run: Run, error: Exception) -> None:
    words = (str(error) or type(error).__name__)[:ERROR_LIMIT]
    job = end_attempt(run.organisation_id, run.job_id, run.number, words, "".join(tracebacks.format_exception(error)))
    job.fail(words, may_retry=not isinstance(error, PermanentError))
    db.session.commit()
    publish_job(current_app.extensions["broker"], job)
