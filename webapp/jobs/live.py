"""Telling pages and programs how jobs stand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import redis
from flask import current_app

from webapp.extensions import db, tenant
from webapp.jobs.models import Job
from webapp.jobs.queries import list_jobs_by_id
from webapp.live.channels import job_channel, jobs_channel
from webapp.live.publish import WATCHED_KEY, may_publish, publish, read_states, unwatch, walk_watched, watched

LIST_PACE_MILLISECONDS = 500
WALK_STEP = 500
SETTLED_MILLISECONDS = 10_000
"""After so long nobody is about to say how a job stood before it ended."""
LATE_HINTS = "live:late-jobs-hints"
HINTS_IN_HAND = "live:late-jobs-hints:in-hand"


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


def publish_late(broker: redis.Redis) -> None:
    """Publish what nobody came to publish: ends of jobs that are looked at, and the last hint of a burst.

    Whoever commits an end may die before saying so, or find Redis away; or somebody else, who read the job before it
    ended, says so after it.
    """
    for organisation_id, channels in _by_organisation(walk_watched(broker, WALK_STEP)).items():
        with tenant(organisation_id):
            _look_after(broker, organisation_id, channels)
            db.session.rollback()
    _publish_late_hints(broker)


def is_anything_late(broker: redis.Redis) -> bool:
    """Whether `publish_late` has something to look at."""
    return bool(broker.exists(LATE_HINTS, HINTS_IN_HAND, WATCHED_KEY))


def _by_organisation(watched_channels: Sequence[str]) -> dict[UUID, dict[UUID, str]]:
    """The channels of jobs, by organisation and job."""
    found: dict[UUID, dict[UUID, str]] = {}
    for channel in watched_channels:
        if channel.startswith("job:"):
            _, organisation_id, job_id = channel.split(":")
            found.setdefault(UUID(organisation_id), {})[UUID(job_id)] = channel
    return found


def _look_after(broker: redis.Redis, organisation_id: UUID, channels: dict[UUID, str]) -> None:
    """What was said is read first: nothing newer can then be replaced by what is read of the job."""
    states = read_states(broker, list(channels.values()))
    jobs = {job.id: job for job in list_jobs_by_id(organisation_id, list(channels))}
    for (job_id, channel), said in zip(channels.items(), states, strict=True):
        job = jobs.get(job_id)
        if job is None or (job.state.is_final and _is_settled(job, said)):
            unwatch(broker, channel)
        elif (job.state.is_final or _is_final(said)) and not _is_true(job, said):
            _publish(broker, job)


def _is_final(said: dict[str, Any] | None) -> bool:
    return said is not None and bool(said["final"])


def _is_true(job: Job, said: dict[str, Any] | None) -> bool:
    return said is not None and bool(said["data"] == job_json(job))


def _is_settled(job: Job, said: dict[str, Any] | None) -> bool:
    before = time.time() * 1000 - SETTLED_MILLISECONDS
    return said is not None and _is_true(job, said) and bool(said["said_at"] <= before)


def _publish_late_hints(broker: redis.Redis) -> None:
    """Each is taken in hand first, so that one that comes while it is published is not removed with it."""
    with broker.pipeline(transaction=True) as pipeline:
        pipeline.sunionstore(HINTS_IN_HAND, [HINTS_IN_HAND, LATE_HINTS])
        pipeline.delete(LATE_HINTS)
        pipeline.smembers(HINTS_IN_HAND)
        *_, organisations = pipeline.execute()
    for organisation in organisations:
        publish(broker, jobs_channel(UUID(organisation.decode())), {})
        broker.srem(HINTS_IN_HAND, organisation)


def _hint(broker: redis.Redis, organisation_id: UUID) -> None:
    """At a steady pace; the last change of a burst is told by `publish_late`."""
    channel = jobs_channel(organisation_id)
    if may_publish(broker, channel, LIST_PACE_MILLISECONDS):
        publish(broker, channel, {})
    else:
        broker.sadd(LATE_HINTS, str(organisation_id))
