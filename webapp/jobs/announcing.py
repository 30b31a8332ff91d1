"""What the pages do with Redis, which may be away: a job is safe in PostgreSQL, and pages show it all the same."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from uuid import UUID

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from webapp.extensions import db
from webapp.jobs.live import publish_job, publish_jobs
from webapp.jobs.models import Job
from webapp.jobs.workers import list_workers, message_capacity
from webapp.live.channels import job_channel
from webapp.live.publish import watch

logger = logging.getLogger(__name__)


def watch_job(organisation_id: UUID, job_id: UUID) -> None:
    """Have every change of the job published from now on. Call it before the job is read, or changed."""
    try:
        watch(current_app.extensions["broker"], job_channel(organisation_id, job_id))
    except RedisError as error:
        logger.warning("A job's page is not live until the broker is back: %s", error)


def watch_shown(job: Job) -> None:
    """As `watch_job`, for a page of a job that was found; what changed before it was watched is read now."""
    if not job.state.is_final:
        watch_job(job.organisation_id, job.id)
        db.session.refresh(job)


def tell_pages(organisation_id: UUID, job_ids: Sequence[UUID]) -> None:
    """Say how these jobs stand to whoever looks at one. Call it after the commit.

    What cannot be told now is no reason to stop: the next change says it, or the sweep of what is late.
    """
    try:
        publish_jobs(organisation_id, job_ids)
    except (RedisError, SQLAlchemyError) as error:
        db.session.rollback()
        logger.warning("Pages could not be told how jobs stand: %s", error)


def announce(job: Job) -> None:
    """Say how the job stands, and send what waits. Call it after the commit."""
    try:
        publish_job(current_app.extensions["broker"], job)
    except RedisError as error:
        logger.warning("A job's page could not be told how it stands: %s", error)
    _dispatch()


def announce_several(organisation_id: UUID, job_ids: Sequence[UUID]) -> None:
    """Say how these jobs stand to whoever looks at one, and send what waits. Call it after the commit."""
    tell_pages(organisation_id, job_ids)
    _dispatch()


def _dispatch() -> None:
    from webapp.jobs.tasks import dispatch

    dispatch()


def has_workers(queue: str) -> bool | None:
    """Whether somebody takes jobs of the queue; None when the broker does not say."""
    try:
        return message_capacity(list_workers(current_app.extensions["broker"]), queue) > 0
    except RedisError as error:
        logger.warning("The broker does not say which workers there are: %s", error)
        return None
