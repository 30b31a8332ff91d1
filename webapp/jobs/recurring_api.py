"""`/api/v1/recurring-jobs`: jobs that begin by a schedule, with an API key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint, Schema
from apiflask.fields import Boolean, Dict, List, Nested, Raw, String
from flask import current_app, url_for
from flask.typing import ResponseReturnValue

from webapp.accounts.api_auth import api_auth
from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.jobs.kinds import Kind, shown_parameters
from webapp.jobs.models import RecurringJob
from webapp.jobs.recurring import (
    CannotStartError,
    RecurringJobError,
    Wanted,
    create_recurring_job,
    find_recurring_kind,
    list_recurring_kinds,
    start_now,
    update_recurring_job,
)
from webapp.jobs.recurring_queries import get_recurring_job, get_recurring_job_for_update, list_recurring_jobs
from webapp.jobs.schedules import in_words
from webapp.lib.clock import utc_now
from webapp.problems import Problem
from webapp.schemas import Text, UtcTime

bp = APIBlueprint("api_recurring_jobs", __name__, url_prefix="/api/v1/recurring-jobs", tag="Recurring jobs")

SHOWN = (
    "id", "kind", "title", "schedule", "time_zone", "is_enabled", "next_run_at", "last_run_at", "last_job_id",
    "skipped_at", "skip_reason", "created_at",
)  # fmt: skip
CRON = "Five fields of cron: minute, hour, day of the month, month, day of the week."
EXAMPLE = {
    "kind": "rehearsal",
    "title": "Nightly rehearsal",
    "parameters": {"step_count": 20},
    "schedule": "0 3 * * *",
    "time_zone": "Europe/Vienna",
}


class RecurringJobIn(Schema):
    """A recurring job as one wants it; what is left out has its usual value."""

    kind = Text(metadata={"description": "What is done; a recurring job keeps its kind."})
    title = Text(load_default="", metadata={"description": "Left empty, it is named after what it does."})
    parameters = Dict(keys=Text(), values=Raw(allow_none=True), load_default=dict)
    schedule = Text(metadata={"description": CRON, "example": "0 3 * * *"})
    time_zone = Text(load_default="UTC", metadata={"example": "Europe/Vienna"})
    is_enabled = Boolean(load_default=True)


class RecurringJobOut(Schema):
    """A recurring job as it stands; secret parameters are covered."""

    id = String(metadata={"format": "uuid"})
    kind = String()
    title = String()
    parameters = Dict()
    schedule = String(metadata={"description": CRON})
    time_zone = String()
    in_words = String(metadata={"example": "Every day at 03:00, Europe/Vienna time"})
    is_enabled = Boolean()
    next_run_at = UtcTime(allow_none=True)
    last_run_at = UtcTime(allow_none=True)
    last_job_id = String(allow_none=True, metadata={"format": "uuid"})
    skipped_at = UtcTime(allow_none=True, metadata={"description": "The time at which nothing was started."})
    skip_reason = String(allow_none=True)
    created_at = UtcTime()


class RecurringJobList(Schema):
    """All of the organisation's recurring jobs."""

    data = List(Nested(RecurringJobOut))


class StartedJob(Schema):
    """The job that was started."""

    job_id = String(metadata={"format": "uuid"})


@bp.get("")
@bp.auth_required(api_auth)
@bp.output(RecurringJobList)
def index() -> ResponseReturnValue:
    """List recurring jobs

    All of them, by title.
    """
    return {"data": [_shown(recurring_job) for recurring_job in list_recurring_jobs(current_organisation().id)]}


@bp.post("")
@bp.auth_required(api_auth)
@bp.input(RecurringJobIn, example=EXAMPLE)
@bp.output(RecurringJobOut, status_code=201)
def create(json_data: dict[str, Any]) -> ResponseReturnValue:
    """Create a recurring job

    It runs for the first time when its schedule says so. Schedules with a fixed time run once on days when clocks
    change; those whose minutes or hours begin with a star go on in real time.
    """
    kind = _kind(json_data.get("kind"))
    try:
        organisation_id = current_organisation().id
        recurring_job = create_recurring_job(organisation_id, kind, _wanted(json_data), utc_now(), None)
    except RecurringJobError as error:
        raise _refused(error.errors) from error
    db.session.commit()
    return _shown(recurring_job), 201, {"Location": url_for(".show", recurring_job_id=recurring_job.id)}


@bp.get("/<uuid:recurring_job_id>")
@bp.auth_required(api_auth)
@bp.output(RecurringJobOut)
def show(recurring_job_id: UUID) -> ResponseReturnValue:
    """Read a recurring job"""
    recurring_job = get_recurring_job(current_organisation().id, recurring_job_id)
    if recurring_job is None:
        raise _not_found()
    return _shown(recurring_job)


@bp.put("/<uuid:recurring_job_id>")
@bp.auth_required(api_auth)
@bp.input(RecurringJobIn, example=EXAMPLE)
@bp.output(RecurringJobOut)
def update(recurring_job_id: UUID, json_data: dict[str, Any]) -> ResponseReturnValue:
    """Replace a recurring job

    A secret parameter that is sent back covered, or is left out, stays as it is. Switched off (`is_enabled`), it
    does not run; what it misses is not made up for.
    """
    recurring_job = _locked(recurring_job_id)
    if json_data.get("kind", recurring_job.kind) != recurring_job.kind:
        raise _refused({"kind": "A recurring job keeps its kind. Create another one instead."})
    try:
        update_recurring_job(recurring_job, _kind(recurring_job.kind), _wanted(json_data), utc_now())
    except RecurringJobError as error:
        raise _refused(error.errors) from error
    db.session.commit()
    return _shown(recurring_job)


@bp.delete("/<uuid:recurring_job_id>")
@bp.auth_required(api_auth)
@bp.output({}, status_code=204)
def destroy(recurring_job_id: UUID) -> ResponseReturnValue:
    """Delete a recurring job

    The jobs that it started stay.
    """
    db.session.delete(_locked(recurring_job_id))
    db.session.commit()
    return ""


@bp.post("/<uuid:recurring_job_id>/run")
@bp.auth_required(api_auth)
@bp.output(StartedJob, status_code=202)
@bp.doc(responses={409: "It cannot be started now"})
def run(recurring_job_id: UUID) -> ResponseReturnValue:
    """Run a recurring job now

    Starts a job at once; the schedule stays as it is.
    """
    recurring_job = _locked(recurring_job_id)
    try:
        job = start_now(recurring_job, current_app.extensions["settings"], None)
    except CannotStartError as error:
        raise Problem(409, "Cannot be started now", str(error)) from error
    db.session.commit()
    announce(job)
    return {"job_id": job.id}, 202, {"Location": f"/api/v1/jobs/{job.id}"}


def _shown(recurring_job: RecurringJob) -> dict[str, object]:
    words = in_words(recurring_job.schedule, recurring_job.time_zone)
    own = {name: getattr(recurring_job, name) for name in SHOWN}
    return {**own, "parameters": shown_parameters(recurring_job), "in_words": words}


def _wanted(values: Mapping[str, Any]) -> Wanted:
    names = ("title", "parameters", "time_zone", "is_enabled")
    return Wanted(schedule=values.get("schedule", ""), **{name: values[name] for name in names})


def _kind(name: str | None) -> Kind:
    kind = find_recurring_kind(name or "")
    if kind is None:
        known = ", ".join(kind.name for kind in list_recurring_kinds())
        raise _refused({"kind": f"This must be one of: {known}."})
    return kind


def _locked(recurring_job_id: UUID) -> RecurringJob:
    recurring_job = get_recurring_job_for_update(current_organisation().id, recurring_job_id)
    if recurring_job is None:
        raise _not_found()
    return recurring_job


def _not_found() -> Problem:
    return Problem(404, "Recurring job not found", "This organisation has no recurring job with that id.")


def _refused(errors: Mapping[str, str]) -> Problem:
    listed = [{"in": "body", "field": field, "message": message} for field, message in errors.items()]
    return Problem(422, "Unprocessable Entity", "Some values cannot be used; `errors` says which.", errors=listed)
