"""A job's own page, and what can be done to it there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Response, abort, current_app, flash, redirect, stream_with_context, url_for
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import list_members
from webapp.extensions import db
from webapp.jobs import detail, speed
from webapp.jobs.announcing import announce, has_workers, watch_job, watch_shown
from webapp.jobs.detail_queries import (
    ATTEMPTS_SHOWN,
    count_in_flight,
    iterate_lines,
    list_newest_attempts,
    list_newest_lines,
    list_points,
)
from webapp.jobs.kinds import Kind, label_of, list_kinds
from webapp.jobs.models import Job, JobLog, JobState
from webapp.jobs.new_views import may_start
from webapp.jobs.queries import count_jobs_before, get_job, get_job_for_update
from webapp.jobs.queues import is_paused
from webapp.jobs.recurring_queries import get_recurring_job
from webapp.jobs.verbs import Verb, change_job, why_not
from webapp.jobs.views import blueprint
from webapp.lib.clock import utc_now
from webapp.live.channels import job_channel, stream_url
from webapp.pages import flash_with_undo, local_time, render_page

blueprint.add_app_template_filter(speed.rate_words, "rate")


@blueprint.get("/<uuid:job_id>")
def show(job_id: UUID) -> Response:
    """One job, live until it ends."""
    organisation = current_organisation()
    job = get_job(organisation.id, job_id) or abort(404)
    watch_shown(job)
    kind = _kind_of(job)
    urls: dict[str, str | None] = {
        name: url_for(f".{name}", job_id=job_id) for name in ("show", "cancel", "retry", "discard", "log")
    }
    if kind is not None and may_start(kind):
        urls["again"] = f"{url_for('.new_of_kind', kind_name=kind.name)}?from={job_id}"
    return job_page(
        "jobs/show.html",
        job,
        urls | {"subject": job.subject_path},
        links=detail.result_links(job.result),
        recurring_job=get_recurring_job(organisation.id, job.recurring_job_id) if job.recurring_job_id else None,
    )


def job_page(template: str, job: Job, urls: Mapping[str, str | None], **more: Any) -> Response:
    """A job's page, in whichever frame; `urls` lead to itself (`show`), to what can be done there (`cancel`, `retry`,
    `discard`, `log`), and, where whoever looks may go there, to its `subject` and to starting it `again`."""
    now, kind = utc_now(), _kind_of(job)
    return render_page(
        template,
        block="job",
        job=job,
        urls=urls,
        now=now,
        label=label_of(job),
        person=_name_of(job),
        wait=_wait(job, kind, now),
        parameters=detail.parameter_facts(kind, job),
        result=detail.result_facts(job.result),
        zone=ZoneInfo(current_organisation().time_zone),
        stream=stream_url(current_app.extensions["settings"], job_channel(job.organisation_id, job.id)),
        **_speed(job, now),
        **_history(job),
        **more,
    )


@blueprint.get("/<uuid:job_id>/log.txt")
def log(job_id: UUID) -> Response:
    """Every line that the job wrote, as plain text."""
    return log_file(get_job(current_organisation().id, job_id) or abort(404))


def log_file(job: Job) -> Response:
    """A job's lines as a file to download."""
    lines = _lines_of_text(iterate_lines(job.organisation_id, job.id))
    response = Response(stream_with_context(lines), content_type="text/plain; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="job-{job.id}.log.txt"'
    return response


@blueprint.post("/<uuid:job_id>/cancel")
def cancel(job_id: UUID) -> BaseResponse:
    """Stop a job: at once when it waits, at its next safe point when it runs."""
    if job := _change(Verb.CANCEL, job_id):
        flash("Cancelled." if job.state.is_final else "It stops at its next safe point.", "success")
    return _to_show(job_id)


@blueprint.post("/<uuid:job_id>/retry")
def retry(job_id: UUID) -> BaseResponse:
    """Begin again what ended without success."""
    _change(Verb.RETRY, job_id)
    return _to_show(job_id)


@blueprint.post("/<uuid:job_id>/discard")
def discard(job_id: UUID) -> BaseResponse:
    """Put a failed or dead job away."""
    if _change(Verb.DISCARD, job_id):
        words = "Discarded. It is kept for a while yet: Retry takes it up again."
        flash_with_undo(words, url_for("jobs.put_back"), job_id.hex)
    return _to_show(job_id)


def _change(verb: Verb, job_id: UUID) -> Job | None:
    """The changed job; None, with words for the next page, when that cannot be done to it."""
    job = get_job_for_update(current_organisation().id, job_id) or abort(404)
    if reason := why_not(verb, job):
        db.session.rollback()
        flash(reason, "error")
        return None
    watch_job(job.organisation_id, job_id)
    change_job(verb, job)
    db.session.commit()
    announce(job)
    return job


def _kind_of(job: Job) -> Kind | None:
    return next((kind for kind in list_kinds() if kind.name == job.kind), None)


def _name_of(job: Job) -> str | None:
    """Who asked for it; None for a program, a schedule, or Footfall itself."""
    if job.created_by is None:
        return None
    members = list_members(job.organisation_id)
    return next((member.name for member in members if member.user_id == job.created_by), "somebody who has left")


def _wait(job: Job, kind: Kind | None, now: datetime) -> str | None:
    if job.state not in detail.WAITING_STATES or job.in_chunks:
        return None
    limit = kind.concurrency_limit if kind else None
    workers = has_workers(job.queue)
    standing = detail.Standing(
        is_paused=is_paused(job.queue),
        has_broker=workers is not None,
        has_workers=bool(workers),
        before_count=count_jobs_before(job, detail.BEFORE_LIMIT + 1),
        kind_limit=limit,
        kind_count=count_in_flight(job) if limit is not None else 0,
    )
    return detail.why_waiting(job, standing, now, local_time)


def _speed(job: Job, now: datetime) -> dict[str, Any]:
    """Its rate, the time that is left, and its chart, as far as there are any."""
    if job.started_at is None:
        return {"per_second": None, "left": None, "chart": None}
    is_moving = job.state is JobState.RUNNING or job.state.is_final
    last = (job.ended_at or now, job.progress_count) if is_moving else None
    points = speed.with_ends(list_points(job), job.started_at, last)
    per_second = speed.rate_now(points, job.claimed_at or job.started_at) if job.state is JobState.RUNNING else None
    return {
        "per_second": per_second,
        "left": speed.time_left(per_second, job.progress_count, job.total_count),
        "chart": speed.make_chart(points),
    }


def _history(job: Job) -> dict[str, Any]:
    attempts = list_newest_attempts(job.organisation_id, job.id)
    lines, has_earlier_lines = list_newest_lines(job.organisation_id, job.id)
    return {
        "attempts": [(attempt, detail.ending_words(attempt), detail.ending_tone(attempt)) for attempt in attempts],
        "earlier_attempt_count": attempts[-1].number - 1 if len(attempts) == ATTEMPTS_SHOWN else 0,
        "lines": lines,
        "has_earlier_lines": has_earlier_lines,
    }


def _lines_of_text(lines: Iterator[JobLog]) -> Iterator[str]:
    for line in lines:
        at = line.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield f"{at} attempt {line.number} {line.level} {line.message}\n"


def _to_show(job_id: UUID) -> BaseResponse:
    return redirect(url_for(".show", job_id=job_id), 303)
