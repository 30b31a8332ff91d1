"""Every look at recurring jobs and what they started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from webapp.extensions import db
from webapp.jobs.models import Job, RecurringJob

RUNS_SHOWN = 20
DUE = "SELECT organisation_id, id FROM footfall_due_recurring_jobs(:now, :most)"
"""Looks across organisations; the function is lent by the owner."""


@dataclass(frozen=True)
class Due:
    """A recurring job whose time has come."""

    organisation_id: UUID
    id: UUID


def list_due(now: datetime, most: int) -> list[Due]:
    """What is due in any organisation, the longest due first."""
    return [Due(*row) for row in db.session.execute(text(DUE), {"now": now, "most": most})]


def is_any_due(connection: Connection, now: datetime) -> bool:
    """Whether `list_due` finds something, asked on a connection of the caller's."""
    return connection.execute(text(DUE), {"now": now, "most": 1}).first() is not None


def get_recurring_job(organisation_id: UUID, recurring_job_id: UUID) -> RecurringJob | None:
    return db.session.get(RecurringJob, (organisation_id, recurring_job_id))


def get_recurring_job_for_update(organisation_id: UUID, recurring_job_id: UUID) -> RecurringJob | None:
    """The recurring job, re-read and locked until the transaction ends."""
    key = (organisation_id, recurring_job_id)
    return db.session.get(RecurringJob, key, with_for_update=True, populate_existing=True)


def list_recurring_jobs(organisation_id: UUID) -> Sequence[RecurringJob]:
    """All of the organisation's, by title; there are at most some hundred."""
    query = select(RecurringJob).where(RecurringJob.organisation_id == organisation_id)
    return db.session.scalars(query.order_by(func.lower(RecurringJob.title), RecurringJob.id)).all()


def count_recurring_jobs(organisation_id: UUID) -> int:
    """How many the organisation has."""
    query = select(func.count()).where(RecurringJob.organisation_id == organisation_id)
    return db.session.scalars(query).one()


def list_runs(organisation_id: UUID, recurring_job_id: UUID, limit: int = RUNS_SHOWN) -> Sequence[Job]:
    """The jobs that it started and that are kept, newest first."""
    query = select(Job).where(Job.organisation_id == organisation_id, Job.recurring_job_id == recurring_job_id)
    return db.session.scalars(query.order_by(Job.id.desc()).limit(limit)).all()
