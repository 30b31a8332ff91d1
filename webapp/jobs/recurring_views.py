"""The pages of recurring jobs. Members see them, owners change them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Response, abort, current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.settings_views import for_owners
from webapp.extensions import db
from webapp.jobs.announcing import announce
from webapp.jobs.detail import parameter_facts
from webapp.jobs.kinds import Kind, label_of
from webapp.jobs.models import RecurringJob
from webapp.jobs.queries import list_jobs_by_id
from webapp.jobs.recurring import (
    CannotStartError,
    RecurringJobError,
    create_recurring_job,
    find_recurring_kind,
    list_recurring_kinds,
    start_now,
    switch_recurring_job,
    update_recurring_job,
)
from webapp.jobs.recurring_forms import (
    CHOICES,
    PREFIX,
    RUNS_FORESEEN,
    preview,
    read_prefilled,
    read_sent,
    read_sent_parameters,
    read_wanted,
)
from webapp.jobs.recurring_queries import (
    get_recurring_job,
    get_recurring_job_for_update,
    list_recurring_jobs,
    list_runs,
)
from webapp.jobs.schedules import LENGTH, USUAL_SCHEDULE, form_values, in_words, next_runs
from webapp.jobs.views import blueprint
from webapp.lib.clock import utc_now
from webapp.live.channels import jobs_channel, stream_url
from webapp.pages import render_page


@blueprint.get("/recurring")
def recurring_index() -> Response:
    """Each with its schedule in words, its next run, and what became of the last one."""
    organisation = current_organisation()
    recurring_jobs = list_recurring_jobs(organisation.id)
    last_ids = [recurring_job.last_job_id for recurring_job in recurring_jobs if recurring_job.last_job_id]
    return render_page(
        "jobs/recurring_index.html",
        block="recurring_jobs",
        recurring_jobs=recurring_jobs,
        last_jobs={job.id: job for job in list_jobs_by_id(organisation.id, last_ids)},
        label_of=label_of,
        in_words=in_words,
        stream=_stream(organisation.id),
    )


@blueprint.get("/recurring/new")
@for_owners
def recurring_new() -> Response:
    """The kinds to choose from, or the form of the one that was chosen."""
    settings = current_app.extensions["settings"]
    if "kind" not in request.args:
        kinds = [(kind, kind.why_unavailable(settings)) for kind in list_recurring_kinds()]
        return render_page("jobs/recurring_kinds.html", kinds=kinds)
    kind = find_recurring_kind(request.args["kind"]) or abort(404)
    values = {**form_values(USUAL_SCHEDULE), "time_zone": current_organisation().time_zone, "title": ""}
    return _form(kind, values | read_prefilled(request.args), {})


@blueprint.post("/recurring/new")
@for_owners
def recurring_create() -> BaseResponse:
    """Keep a new one, or show the form with what is wrong."""
    kind = find_recurring_kind(request.args.get("kind", "")) or abort(404)
    try:
        wanted = read_wanted(kind, request.form, is_enabled=True)
        recurring_job = create_recurring_job(current_organisation().id, kind, wanted, utc_now(), current_user.id)
    except RecurringJobError as error:
        return _form(kind, read_sent(request.form), error.errors, status=422)
    db.session.commit()
    flash(f"“{recurring_job.title}” is saved.", "success")
    return _to_show(recurring_job.id)


@blueprint.get("/recurring/<uuid:recurring_job_id>")
def recurring_show(recurring_job_id: UUID) -> Response:
    """One of them: when it runs, with what, and what became of its runs."""
    recurring_job = _get(recurring_job_id)
    organisation_id = recurring_job.organisation_id
    kind = find_recurring_kind(recurring_job.kind)
    return render_page(
        "jobs/recurring_show.html",
        block="recurring_job",
        recurring_job=recurring_job,
        words=in_words(recurring_job.schedule, recurring_job.time_zone),
        next_runs=_next_runs(recurring_job),
        parameters=parameter_facts(kind, recurring_job),
        kind=kind,
        label=label_of(recurring_job),
        runs=list_runs(organisation_id, recurring_job_id),
        stream=_stream(organisation_id),
    )


@blueprint.get("/recurring/<uuid:recurring_job_id>/edit")
@for_owners
def recurring_edit(recurring_job_id: UUID) -> Response:
    """The form with what is known."""
    recurring_job = _get(recurring_job_id)
    values = {
        **form_values(recurring_job.schedule),
        "time_zone": recurring_job.time_zone,
        "title": recurring_job.title,
        "parameters": recurring_job.parameters,
    }
    return _form(_kind_of(recurring_job), values | read_prefilled(request.args), {}, recurring_job)


@blueprint.post("/recurring/<uuid:recurring_job_id>/edit")
@for_owners
def recurring_update(recurring_job_id: UUID) -> BaseResponse:
    """Keep the changes, or show the form with what is wrong."""
    recurring_job = _get_for_update(recurring_job_id)
    kind = _kind_of(recurring_job)
    try:
        wanted = read_wanted(kind, request.form, recurring_job.is_enabled)
        update_recurring_job(recurring_job, kind, wanted, utc_now())
    except RecurringJobError as error:
        db.session.rollback()
        return _form(kind, read_sent(request.form), error.errors, _get(recurring_job_id), 422)
    db.session.commit()
    flash(f"“{recurring_job.title}” is saved.", "success")
    return _to_show(recurring_job_id)


@blueprint.post("/recurring/<uuid:recurring_job_id>/switch")
@for_owners
def recurring_switch(recurring_job_id: UUID) -> BaseResponse:
    """Switch it on or off, whichever the form says."""
    recurring_job = _get_for_update(recurring_job_id)
    switch_recurring_job(recurring_job, request.form.get("is_enabled") == "1", utc_now())
    db.session.commit()
    flash(f"“{recurring_job.title}” is switched {'on' if recurring_job.is_enabled else 'off'}.", "success")
    if request.form.get("from") == "list":
        return redirect(url_for(".recurring_index"), 303)
    return _to_show(recurring_job_id)


@blueprint.post("/recurring/<uuid:recurring_job_id>/run")
@for_owners
def recurring_run(recurring_job_id: UUID) -> BaseResponse:
    """Start a job at once; the schedule stays as it is."""
    recurring_job = _get_for_update(recurring_job_id)
    try:
        job = start_now(recurring_job, current_app.extensions["settings"], current_user.id)
    except CannotStartError as error:
        db.session.rollback()
        flash(f"It can’t be started now: {error}", "error")
        return _to_show(recurring_job_id)
    db.session.commit()
    announce(job)
    return redirect(url_for(".show", job_id=job.id), 303)


@blueprint.get("/recurring/<uuid:recurring_job_id>/delete")
@for_owners
def recurring_delete(recurring_job_id: UUID) -> Response:
    """Ask first, where no script could."""
    return render_page("jobs/recurring_delete.html", recurring_job=_get(recurring_job_id))


@blueprint.post("/recurring/<uuid:recurring_job_id>/delete")
@for_owners
def recurring_destroy(recurring_job_id: UUID) -> BaseResponse:
    """Forget it; what it started stays among the jobs."""
    recurring_job = _get_for_update(recurring_job_id)
    title = recurring_job.title
    db.session.delete(recurring_job)
    db.session.commit()
    flash(f"“{title}” is deleted. Its jobs are still there.", "success")
    return redirect(url_for(".recurring_index"), 303)


def _get(recurring_job_id: UUID) -> RecurringJob:
    return get_recurring_job(current_organisation().id, recurring_job_id) or abort(404)


def _get_for_update(recurring_job_id: UUID) -> RecurringJob:
    return get_recurring_job_for_update(current_organisation().id, recurring_job_id) or abort(404)


def _kind_of(recurring_job: RecurringJob) -> Kind:
    return find_recurring_kind(recurring_job.kind) or abort(409, "This version of Footfall knows no such kind of job.")


def _form(
    kind: Kind,
    values: dict[str, Any],
    errors: Mapping[str, str],
    recurring_job: RecurringJob | None = None,
    status: int = 200,
) -> Response:
    if request.method == "POST":
        values["parameters"] = read_sent_parameters(kind, request.form)
    return render_page(
        "jobs/recurring_form.html",
        block="preview" if request.method == "GET" else None,
        status=status,
        kind=kind,
        recurring_job=recurring_job,
        values=values,
        errors=errors,
        parameter_errors={name.removeprefix("parameters."): reason for name, reason in errors.items()},
        preview=preview(values, utc_now()),
        why_unavailable=kind.why_unavailable(current_app.extensions["settings"]),
        prefix=PREFIX,
        choices=CHOICES,
        schedule_length=LENGTH,
    )


def _next_runs(recurring_job: RecurringJob) -> list[datetime]:
    if recurring_job.next_run_at is None:
        return []
    later = next_runs(recurring_job.schedule, recurring_job.time_zone, recurring_job.next_run_at, RUNS_FORESEEN - 1)
    return [recurring_job.next_run_at, *later]


def _stream(organisation_id: UUID) -> str:
    return stream_url(current_app.extensions["settings"], jobs_channel(organisation_id))


def _to_show(recurring_job_id: UUID) -> BaseResponse:
    return redirect(url_for(".recurring_show", recurring_job_id=recurring_job_id), 303)
