"""Kinds of jobs that tests run, and running them without a worker process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import redis
from flask import current_app
from sqlalchemy import inspect, select

from webapp.extensions import db, tenant
from webapp.jobs.claims import Message, take_jobs
from webapp.jobs.kinds import Kind, PermanentError, Result, Run, get_kind, list_kinds, register_kind
from webapp.jobs.models import Job, JobAttempt
from webapp.jobs.parameters import Parameter
from webapp.jobs.queries import get_job
from webapp.jobs.service import create_job
from webapp.jobs.tasks import run_jobs, write_dead_letters, write_results
from webapp.jobs.workers import Worker, tell
from webapp.lib.clock import utc_now

runs: list[UUID] = []
"""The jobs whose function was called, in order."""


def double(run: Run) -> Result:
    runs.append(run.job_id)
    run.report(1, 2)
    return {"doubled": run.parameters["number"] * 2}


def stumble(run: Run) -> Result:
    runs.append(run.job_id)
    raise RuntimeError("The shelf is empty.")


def give_up(run: Run) -> Result:
    raise PermanentError("The file is gone. Upload it again.")


NUMBER = Parameter("number", "Number", "integer", default=1)


def register(function: Callable[[Run], Result], **more: Any) -> Kind:
    """A kind that is called like its function."""
    more.setdefault("parameters", (NUMBER,) if function is double else ())
    kind = Kind(function.__name__, function.__name__.replace("_", " ").capitalize(), function, **more)
    register_kind(kind)
    return kind


def register_test_kinds() -> None:
    for function in (double, stumble, give_up):
        register(function)
    runs.clear()


def add_job(organisation_id: UUID, kind: str = "double", **more: Any) -> Job:
    """A committed job that waits, as it was then."""
    given = more.pop("given", {})
    with tenant(organisation_id):
        job = create_job(organisation_id, get_kind(kind), given, **more)
        db.session.commit()
        db.session.refresh(job)
        db.session.expunge(job)
        return job


def take(capacity: float = 100.0) -> list[Message]:
    """What the dispatcher would send now."""
    messages = take_jobs("jobs", list_kinds(), capacity, utc_now())
    db.session.commit()
    return messages


def run_sent(messages: list[Message]) -> None:
    """Do what a worker does with messages, up to the outcomes in Redis."""
    for message in messages:
        run_jobs.fn(str(message.organisation_id), [str(job_id) for job_id in message.job_ids])


def write_outcomes() -> None:
    write_results.fn()
    write_dead_letters.fn()


def run_waiting() -> None:
    """Everything that is due: sent, run, and written."""
    run_sent(take())
    write_outcomes()


def reread(job: Job) -> Job:
    """The job as it is now, whatever tenant is current."""
    identity = inspect(job).identity
    assert identity is not None
    organisation_id, job_id = identity
    db.session.rollback()
    db.session.expire_all()
    with tenant(organisation_id):
        fresh = get_job(organisation_id, job_id)
        assert fresh is not None
        db.session.refresh(fresh)
        return fresh


def broker() -> redis.Redis:
    client = current_app.extensions["broker"]
    assert isinstance(client, redis.Redis)
    return client


def pretend_worker(threads: int = 2) -> Worker:
    """A worker that said that it lives, so that jobs are sent; nobody takes them."""
    worker = Worker(("jobs",), threads)
    tell(broker(), worker.state())
    return worker


def list_attempts(organisation_id: UUID, job_id: UUID) -> Sequence[JobAttempt]:
    """Attempts of a job, the first one first."""
    query = select(JobAttempt).where(JobAttempt.organisation_id == organisation_id, JobAttempt.job_id == job_id)
    return db.session.scalars(query.order_by(JobAttempt.number)).all()
