"""Telling pages and programs how a job stands."""

from __future__ import annotations

from typing import Any

import redis
from flask import current_app

from webapp.jobs.models import Job
from webapp.live.channels import job_channel, jobs_channel
from webapp.live.publish import may_publish, publish

LIST_PACE_MILLISECONDS = 500


def job_json(job: Job) -> dict[str, Any]:
    """What programs are told of a job."""
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


def publish_job(broker: redis.Redis, job: Job) -> None:
    """Send a job's present state to its own page and a hint to the list. Call it after the commit."""
    html = current_app.jinja_env.get_template("jobs/_progress.html").render(job=job)
    publish(broker, job_channel(job.organisation_id, job.id), job_json(job), html, final=job.state.is_final)
    channel = jobs_channel(job.organisation_id)
    if job.state.is_final or may_publish(broker, channel, LIST_PACE_MILLISECONDS):
        publish(broker, channel, {"changed": str(job.id)})
