"""The list of jobs, and what can be done to several of them at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, abort, current_app, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.current import current_organisation
from webapp.accounts.queries import list_members
from webapp.extensions import db
from webapp.jobs.announcing import announce, announce_several, watch_job
from webapp.jobs.filters import JobFilter, filter_arguments, read_filter
from webapp.jobs.kinds import label_of, list_kinds
from webapp.jobs.list_queries import list_kinds_in_use
from webapp.jobs.listing import Choice, changeable_counts, changed_words, count_words, note_of
from webapp.jobs.models import JobState
from webapp.jobs.notices import list_notices
from webapp.jobs.queries import PAGE_SIZE, JobPage, count_jobs_by_state, list_jobs
from webapp.jobs.queue_names import WORKING_QUEUES
from webapp.jobs.verbs import Changed, Verb, change_jobs, put_back_jobs, start_change, title_of_change
from webapp.lib.clock import utc_now
from webapp.live.channels import jobs_channel, stream_url
from webapp.pages import flash_with_undo, local_time, render_page

blueprint = Blueprint("jobs", __name__, url_prefix="/jobs")

MATCHING = "matching"


@blueprint.get("")
def index() -> Response:
    """The organisation's jobs, newest first. What is looked for stands in the address."""
    organisation = current_organisation()
    job_filter, before = _filter(), _uuid_or_none(request.args.get("before", ""))
    page = list_jobs(organisation.id, job_filter, before=before)
    counts = count_jobs_by_state(organisation.id, replace(job_filter, states=frozenset()))
    given = _given(job_filter)
    now = utc_now()
    response = render_page(
        "jobs/index.html",
        block="jobs",
        jobs=[(job, note_of(job, now, local_time)) for job in page.jobs],
        now=now,
        notices=list_notices(),
        given=given,
        before=before,
        here=url_for(".index", **given, before=before),
        choices=_choices(given, job_filter.states, counts),
        matching_words=count_words(sum(counts.get(state, 0) for state in job_filter.states or counts)),
        kinds=_kind_options(job_filter.kind),
        queues=[(queue, queue.capitalize()) for queue in WORKING_QUEUES],
        people={member.user_id: member.name for member in list_members(organisation.id)},
        label_of=label_of,
        stream=stream_url(current_app.extensions["settings"], jobs_channel(organisation.id)),
        **_ways_on(given, before, page),
    )
    if "" in request.args.values():  # a form names what it does not ask for, too
        response.headers["HX-Replace-Url"] = url_for(".index", **given, before=before)
    return response


@blueprint.post("/change")
def change() -> BaseResponse:
    """Do something to the ticked jobs; for all that match, ask first."""
    organisation = current_organisation()
    verb = _verb(request.form)
    if request.form.get("scope") == MATCHING:
        return redirect(url_for(".confirm_change", verb=verb.value, **_posted_filter()), 303)
    job_ids = [job_id for text in request.form.getlist("job") if (job_id := _uuid_or_none(text))][:PAGE_SIZE]
    changed = change_jobs(organisation.id, verb, job_ids)
    changed_ids = [job.id for job in changed.changed]
    db.session.commit()
    announce_several(organisation.id, changed_ids)
    _say(verb, changed, changed_ids) if job_ids else flash("Tick some jobs first.", "warning")
    before = _uuid_or_none(request.form.get("before", ""))
    return redirect(url_for(".index", **_posted_filter(), before=before), 303)


@blueprint.post("/put-back")
def put_back() -> BaseResponse:
    """Undo a discard."""
    organisation = current_organisation()
    job_ids = [job_id for text in request.form.get("undo", "").split(",") if (job_id := _uuid_or_none(text))]
    put_back_ids = [job.id for job in put_back_jobs(organisation.id, job_ids[:PAGE_SIZE])]
    db.session.commit()
    announce_several(organisation.id, put_back_ids)
    flash("As before." if put_back_ids else "There is nothing to undo any more.", "success")
    return redirect(url_for(".show", job_id=put_back_ids[0]) if len(put_back_ids) == 1 else url_for(".index"), 303)


@blueprint.get("/change")
def confirm_change() -> Response:
    """Ask whether it shall be done to every job that matches, and say how many these are."""
    job_filter, verb = _filter(), _verb(request.args)
    counts = count_jobs_by_state(current_organisation().id, job_filter)
    return render_page(
        "jobs/change.html",
        verb=verb,
        title=title_of_change(verb, job_filter, _zone()),
        count=changeable_counts(counts, job_filter.states)[verb],
        count_words=count_words,
        given=_given(job_filter),
    )


@blueprint.post("/change-matching")
def change_matching() -> BaseResponse:
    """Start the job that does it to every job that matches, and lead to its page."""
    job_filter = read_filter(request.form, _zone())
    job = start_change(current_organisation().id, _verb(request.form), job_filter, _zone(), current_user.id)
    job_id = job.id
    watch_job(job.organisation_id, job_id)
    db.session.commit()
    announce(job)
    return redirect(url_for(".show", job_id=job_id), 303)


def _say(verb: Verb, changed: Changed, job_ids: list[UUID]) -> None:
    """What was done; a discard can be undone at once."""
    words = changed_words(verb, changed)
    if verb is Verb.DISCARD and job_ids:
        flash_with_undo(words, url_for(".put_back"), ",".join(job_id.hex for job_id in job_ids))
    else:
        flash(words, "success" if job_ids else "warning")


def _filter() -> JobFilter:
    return read_filter(request.args, _zone())


def _given(job_filter: JobFilter) -> dict[str, Any]:
    """The filter as arguments of addresses."""
    return {**filter_arguments(job_filter, _zone())}


def _posted_filter() -> dict[str, Any]:
    return _given(read_filter(request.form, _zone()))


def _verb(given: Any) -> Verb:
    try:
        return Verb(given.get("verb", ""))
    except ValueError:
        abort(400, "Choose what is to be done: cancel, retry or discard.")


def _choices(given: dict[str, Any], chosen: frozenset[JobState], counts: dict[JobState, int]) -> list[Choice]:
    """All states, and each of them alone, with the rest of the filter as it is."""
    others = {name: value for name, value in given.items() if name != "state"}
    every = Choice("All", url_for(".index", **others), sum(counts.values()), not chosen)
    alone = [
        Choice(
            state.value.capitalize(),
            url_for(".index", **others, state=state.value),
            counts.get(state, 0),
            state in chosen,
        )
        for state in JobState
    ]
    return [every, *alone]


def _kind_options(chosen: str | None) -> list[tuple[str, str]]:
    """Kinds of which there are jobs, by what people call them."""
    labels = {kind.name: kind.label for kind in list_kinds()}
    names = {*list_kinds_in_use(current_organisation().id), *([chosen] if chosen else [])}
    options = [(name, labels.get(name, name.replace("_", " ").capitalize())) for name in names]
    return sorted(options, key=lambda option: option[1])


def _ways_on(given: dict[str, Any], before: UUID | None, page: JobPage) -> dict[str, Any]:
    """Where the first page is, and the next one; or, when a text was not found so far, how to look further back."""
    next_url = url_for(".index", **given, before=page.next_before) if page.next_before else None
    return {
        "first_url": url_for(".index", **given) if before else None,
        "next_url": None if page.looked_until else next_url,
        "further_url": next_url if page.looked_until else None,
        "looked_until_at": page.looked_until_at,
    }


def _zone() -> ZoneInfo:
    return ZoneInfo(current_organisation().time_zone)


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
