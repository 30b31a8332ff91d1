"""The jobs pages."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, abort, current_app, flash, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.extensions import db
from webapp.jobs.filters import JobFilter
from webapp.jobs.kinds import label_of
from webapp.jobs.live import publish_job
from webapp.jobs.models import Job, JobState
from webapp.jobs.queries import get_job, get_job_for_update, list_attempts, list_jobs
from webapp.live.channels import job_channel, jobs_channel, stream_url
from webapp.live.publish import watch
from webapp.pages import render_page

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")


@blueprint.get("")
def index() -> Response:
    """The organisation's jobs, newest first, by state."""
    organisation = current_organisation()
    state = _state_or_none(request.args.get("state", ""))
    wanted = JobFilter(states=frozenset({state} if state else ()))
    page = list_jobs(organisation.id, wanted, before=_uuid_or_none(request.args.get("before", "")))
    next_url = None
    if page.next_before:
        next_url = url_for(".index", state=state.value if state else None, before=page.next_before)
    return render_page(
        "jobs/index.html",
        block="jobs",
        jobs=page.jobs,
        filters={"state": state, "states": list(JobState)},
        next_url=next_url,
        label_of=label_of,
        stream=stream_url(current_app.extensions["settings"], jobs_channel(organisation.id)),
    )


@blueprint.get("/<uuid:job_id>")
def show(job_id: UUID) -> Response:
    """One job, live until it ends."""
    organisation = current_organisation()
    channel = job_channel(organisation.id, job_id)
    watch(current_app.extensions["broker"], channel)
    job = get_job(organisation.id, job_id) or abort(404)
    return render_page(
        "jobs/show.html",
        block="job",
        job=job,
        label=label_of(job),
        attempts=list_attempts(organisation.id, job_id),
        stream=stream_url(current_app.extensions["settings"], channel),
    )


@blueprint.post("/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> BaseResponse:
    """Stop a job: at once when it waits, at its next safe point when it runs."""
    job = _job_to_change(job_id)
    if job.state.is_final:
        flash("This job can't be cancelled here any more.", "error")
        return redirect(url_for(".show", job_id=job_id), 303)
    job.cancel()
    db.session.commit()
    publish_job(current_app.extensions["broker"], job)
    flash("Cancelled." if job.state.is_final else "It stops at its next safe point.", "success")
    return redirect(url_for(".show", job_id=job_id), 303)


@blueprint.post("/<uuid:job_id>/retry")
def retry(job_id: UUID) -> BaseResponse:
    """Begin again what ended without success."""
    from webapp.jobs.tasks import dispatch

    job = _job_to_change(job_id)
    if not job.may_begin_again:
        flash("Only a job that failed or was cancelled can begin again.", "error")
        return redirect(url_for(".show", job_id=job_id), 303)
    job.begin_again()
    db.session.commit()
    publish_job(current_app.extensions["broker"], job)
    dispatch()
    return redirect(url_for(".show", job_id=job_id), 303)


def _job_to_change(job_id: UUID) -> Job:
    return get_job_for_update(current_organisation().id, job_id) or abort(404)


def _state_or_none(text: str) -> JobState | None:
    return JobState(text) if text in {state.value for state in JobState} else None


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
