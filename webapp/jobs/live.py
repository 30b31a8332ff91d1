"""Telling pages and programs how jobs stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import redis
from flask import current_app

from webapp.extensions import db, tenant
from webapp.jobs.models import Job
from webapp.jobs.queries import get_job, list_jobs_by_id
from webapp.live.channels import job_channel, jobs_channel
from webapp.live.publish import WATCHED_KEY, list_watched, may_publish, publish, unwatch, watched

LIST_PACE_MILLISECONDS = 500
LATE_LIMIT = 200
LATE_HINTS = "live:late-jobs-hints"


def job_json(job: Job) -> dict[str, Any]:
    """What programs are told of a job while it goes on."""
    return {
        "id": str(job.id),
        "kind": job.kind,
        "title": job.title,
        "state": job.state.value,
        "progress_count": job.progress_count,
        "total_count": job.total_count,
        "attempt_count": job.attempt_count,
        "error": job.error,
    }


def publish_jobs(organisation_id: UUID, job_ids: Sequence[UUID]) -> None:
    """Say how these jobs stand to whoever looks at one of them, and hint to the list. Call it after the commit.

    Thousands end in a second, and hardly any is looked at: only those are read and rendered.
    """
    if not job_ids:
        return
    broker: redis.Redis = current_app.extensions["broker"]
    channels = {job_channel(organisation_id, job_id): job_id for job_id in job_ids}
    if seen := watched(broker, list(channels)):
        for job in list_jobs_by_id(organisation_id, [channels[channel] for channel in seen]):
            _publish(broker, job)
        db.session.rollback()
    _hint(broker, organisation_id)


def publish_job(broker: redis.Redis, job: Job) -> None:
    """Say how a job stands, to its own page and to the list. Call it after the commit."""
    _publish(broker, job)
    _hint(broker, job.organisation_id)


def _publish(broker: redis.Redis, job: Job) -> None:
    html = current_app.jinja_env.get_template("jobs/_progress.html").render(job=job)
    channel = job_channel(job.organisation_id, job.id)
    publish(broker, channel, job_json(job), html, final=job.state.is_final)
    if job.state.is_final:
        unwatch(broker, channel)


def publish_late(broker: redis.Redis) -> None:
    """Publish what nobody came to publish: ends of jobs that are looked at, and the last hint of a burst.

    Whoever commits an end may die before saying so, or find Redis away.
    """
    for channel in list_watched(broker, "job:", LATE_LIMIT):
        _, organisation_id, job_id = channel.split(":")
        with tenant(UUID(organisation_id)):
            job = get_job(UUID(organisation_id), UUID(job_id))
            if job is None or job.state.is_final:
                _publish_end(broker, channel, job)
            db.session.rollback()
    for organisation in cast("list[bytes]", broker.spop(LATE_HINTS, LATE_LIMIT)):
        publish(broker, jobs_channel(UUID(organisation.decode())), {})


def is_anything_late(broker: redis.Redis) -> bool:
    """Whether `publish_late` has something to look at."""
    return bool(broker.exists(LATE_HINTS, WATCHED_KEY))


def _publish_end(broker: redis.Redis, channel: str, job: Job | None) -> None:
    if job is None:
        unwatch(broker, channel)
    else:
        _publish(broker, job)


def _hint(broker: redis.Redis, organisation_id: UUID) -> None:
    """At a steady pace; the last change of a burst is told by `publish_late`."""
    channel = jobs_channel(organisation_id)
    if may_publish(broker, channel, LIST_PACE_MILLISECONDS):
        publish(broker, channel, {})
    else:
        broker.sadd(LATE_HINTS, str(organisation_id))
