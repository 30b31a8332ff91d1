"""`/api/v1/jobs`: start, list and watch jobs with an API key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from apiflask import APIBlueprint
from flask import current_app, redirect, url_for
from flask.typing import ResponseReturnValue
from marshmallow import RAISE
from redis.exceptions import RedisError

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.announcing import announce_several
from webapp.jobs.api_schemas import (
    JobDetail,
    JobIn,
    JobKindList,
    JobList,
    JobListQuery,
    JobShown,
    LogLines,
    LogQuery,
    job_detail,
    job_shown,
    kind_shown,
    line_shown,
)
from webapp.jobs.detail_queries import list_newest_attempts
from webapp.jobs.filters import FilterError, JobFilter, read_filter_strictly
from webapp.jobs.kinds import Kind, MayStart, UnknownKindError, get_kind, list_kinds
from webapp.jobs.live import publish_job
from webapp.jobs.models import Job, JobState
from webapp.jobs.parameters import ParametersError
from webapp.jobs.queries import count_jobs_before, get_job, list_jobs, list_logs
from webapp.jobs.service import create_job
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel, stream_url
from webapp.live.publish import watch
from webapp.problems import Problem

bp = APIBlueprint("api_jobs", __name__, url_prefix="/api/v1", tag="Jobs")

LOG_CURSOR = re.compile(r"([0-9]{1,9})-([0-9]{1,9})")
LATEST = timedelta(days=366)
CLOCK_SLACK = timedelta(minutes=5)
BEFORE_LIMIT = 1_000
LOOK_AT_KINDS = "`GET /api/v1/job-kinds` lists those that can be started."
WAITING = (JobState.PENDING, JobState.RETRYING)
EXAMPLE = {"kind": "rehearsal", "parameters": {"step_count": 20, "step_milliseconds": 250}}


@bp.get("/job-kinds")
@bp.auth_required(api_auth)
@bp.output(JobKindList)
def kinds() -> ResponseReturnValue:
    """List the kinds of jobs

    Those that may be started, with the parameters that each of them takes.
    """
    return {"data": [kind_shown(kind) for kind in list_kinds() if kind.may_start is not MayStart.NOBODY]}


@bp.post("/jobs")
@bp.auth_required(api_auth)
@bp.input(JobIn, example=EXAMPLE)
@bp.output(JobShown, status_code=202)
@bp.doc(responses={403: "Footfall alone starts jobs of this kind", 409: "This kind of job is not set up"})
def create(json_data: dict[str, Any]) -> ResponseReturnValue:
    """Start a job

    Answers as soon as the job is kept; it runs when it is its turn. `GET /jobs/{id}/events` streams how it goes on.
    """
    kind = _startable(json_data["kind"])
    run_at = json_data["run_at"]
    if run_at is not None and run_at < utc_now() - CLOCK_SLACK:
        raise refused({"run_at": "This is in the past. Leave it out to begin at once."})
    if run_at is not None and run_at > utc_now() + LATEST:
        raise refused({"run_at": "A job can be planned up to a year ahead."})
    title = (json_data["title"] or "").strip() or None
    try:
        job = create_job(current_organisation().id, kind, json_data["parameters"], title=title, run_at=run_at)
    except ParametersError as error:
        raise refused({f"parameters.{name}": reason for name, reason in error.errors.items()}) from error
    shown = kept(job)
    return shown, 202, location_of(shown)


@bp.get("/jobs")
@bp.auth_required(api_auth)
@bp.input(JobListQuery, location="query", unknown=RAISE)
@bp.output(JobList)
def index(query_data: dict[str, Any]) -> ResponseReturnValue:
    """List jobs

    The newest first. Pages follow each other by `next_cursor`. A text is looked for some thousand jobs back at a time:
    `looked_until` says how far that was.
    """
    limit, cursor = query_data.pop("limit"), query_data.pop("cursor")
    job_filter = filter_in(query_data, "query")
    page = list_jobs(current_organisation().id, job_filter, before=cursor, limit=limit)
    return {
        "data": [job_shown(job) for job in page.jobs],
        "next_cursor": page.next_before,
        "looked_until": page.looked_until_at,
    }


@bp.get("/jobs/<uuid:job_id>")
@bp.auth_required(api_auth)
@bp.output(JobDetail)
def show(job_id: UUID) -> ResponseReturnValue:
    """Read a job"""
    job = found(get_job(current_organisation().id, job_id))
    is_waiting = job.state in WAITING and job.sent_at is None and job.run_at <= utc_now() and not job.in_chunks
    before = count_jobs_before(job, BEFORE_LIMIT) if is_waiting else None
    return job_detail(job, list_newest_attempts(job.organisation_id, job.id), before)


@bp.get("/jobs/<uuid:job_id>/events")
@bp.auth_required(api_auth)
@bp.doc(responses={302: "Go to the stream.", 503: "Streams are away"})
def events(job_id: UUID) -> ResponseReturnValue:
    """Stream a job's progress

    Redirects to a stream of server-sent JSON events that begins with the job as it is and ends with it (`curl -NL`).
    """
    organisation_id, broker = current_organisation().id, current_app.extensions["broker"]
    found(get_job(organisation_id, job_id))
    channel = job_channel(organisation_id, job_id)
    try:
        watch(broker, channel)  # what changes from here on is published; what changed before is read
        db.session.rollback()
        publish_job(broker, found(get_job(organisation_id, job_id)))
    except RedisError as error:
        detail = "The part of Footfall that streams is away for a moment. The job goes on; read it, or try again."
        raise Problem(503, "No stream", detail) from error
    return redirect(stream_url(current_app.extensions["settings"], channel, html=False), 302)


@bp.get("/jobs/<uuid:job_id>/logs")
@bp.auth_required(api_auth)
@bp.input(LogQuery, location="query", unknown=RAISE)
@bp.output(LogLines)
def logs(job_id: UUID, query_data: dict[str, Any]) -> ResponseReturnValue:
    """Read a job's log

    Lines that its attempts wrote, the first one first.
    """
    job = found(get_job(current_organisation().id, job_id))
    limit = query_data["limit"]
    lines = list_logs(job.organisation_id, job.id, after=_place(query_data["cursor"]), limit=limit + 1)
    shown = lines[:limit]
    next_cursor = f"{shown[-1].number}-{shown[-1].position}" if len(lines) > limit else None
    return {"data": [line_shown(line) for line in shown], "next_cursor": next_cursor}


def kept(job: Job) -> dict[str, Any]:
    """The job, committed, told and sent; shown as it was just before, which spares reading it again."""
    db.session.flush()
    organisation_id, job_id, shown = job.organisation_id, job.id, job_shown(job)
    db.session.commit()
    announce_several(organisation_id, [job_id])
    return shown


def _startable(name: str) -> Kind:
    try:
        kind = get_kind(name)
    except UnknownKindError as error:
        raise refused({"kind": f"There is no such kind of job. {LOOK_AT_KINDS}"}) from error
    if kind.may_start is MayStart.NOBODY:
        raise Problem(403, "Not for programs", f"Footfall itself starts jobs of the kind {name}. {LOOK_AT_KINDS}")
    if reason := kind.why_unavailable(current_app.extensions["settings"]):
        raise Problem(409, "This kind of job is not set up", reason)
    return kind


def filter_in(arguments: Mapping[str, Any], place: str) -> JobFilter:
    """The filter in a query or in a body; ends the request with 422 when it means nothing."""
    try:
        return read_filter_strictly(arguments, ZoneInfo(current_organisation().time_zone))
    except FilterError as error:
        inside = "filter." if place == "body" else ""
        raise refused({f"{inside}{name}": reason for name, reason in error.errors.items()}, place) from error


def _place(cursor: str | None) -> tuple[int, int] | None:
    """(attempt's number, position) in a log's cursor."""
    if cursor is None:
        return None
    place = LOG_CURSOR.fullmatch(cursor)
    if place is None:
        raise refused({"cursor": "This is no cursor of a log. Start again without one."}, "query")
    return int(place[1]), int(place[2])


def found(job: Job | None) -> Job:
    """The job; ends the request with 404 when there is none."""
    if job is None:
        raise Problem(404, "Job not found", "This organisation has no job with that id, or no longer.")
    return job


def location_of(shown: Mapping[str, Any]) -> dict[str, str]:
    """Where the job is read, as a header."""
    return {"Location": url_for("api_jobs.show", job_id=shown["id"])}


def refused(errors: Mapping[str, str], place: str = "body") -> Problem:
    """422, with the reason for each value."""
    listed = [{"in": place, "field": field, "message": message} for field, message in errors.items()]
    return Problem(422, "Unprocessable Entity", "Some values cannot be used; `errors` says which.", errors=listed)
