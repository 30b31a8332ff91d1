"""Jobs of all organisations, and each one's page with what can be done to it there."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from flask import Response, abort, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.accounts.models import Organisation
from webapp.accounts.queries import get_organisation
from webapp.extensions import db, enter_tenant
from webapp.jobs.announcing import announce, watch_job, watch_shown
from webapp.jobs.detail_views import job_page, log_file
from webapp.jobs.kinds import list_kinds
from webapp.jobs.models import Job, JobState
from webapp.jobs.queries import get_job, get_job_for_update
from webapp.jobs.verbs import Verb, change_job, why_not
from webapp.operations.queries import Wanted, list_jobs, list_organisations
from webapp.operations.views import blueprint, operations_stream
from webapp.pages import render_page

SAID = {
    Verb.CANCEL: "Cancelled, or it stops at its next safe point.",
    Verb.RETRY: "It begins again.",
    Verb.DISCARD: "Discarded.",
}

logger = logging.getLogger(__name__)


@blueprint.get("/jobs")
def jobs() -> Response:
    """Jobs of all organisations, newest first. What is looked for stands in the address."""
    wanted, before = read_wanted(), uuid_or_none(request.args.get("before", ""))
    page = list_jobs(wanted, before=before)
    given = given_of(wanted)
    here = url_for(".jobs", **given, before=before)
    response = render_page(
        "operations/jobs.html",
        block="jobs",
        jobs=page.jobs,
        given=given,
        choices=choices(wanted),
        states=list(JobState),
        here=here,
        first_url=url_for(".jobs", **given) if before else None,
        next_url=url_for(".jobs", **given, before=page.jobs[-1].id) if page.has_more else None,
        stream=operations_stream(),
        labels=kind_labels(),
    )
    return with_plain_address(response, here)


@blueprint.get("/organisations/<uuid:organisation_id>/jobs/<uuid:job_id>")
def show_job(organisation_id: UUID, job_id: UUID) -> Response:
    """A job of whichever organisation, as its own people see it."""
    organisation = _enter(organisation_id)
    job = get_job(organisation_id, job_id) or abort(404)
    watch_shown(job)
    ids: dict[str, Any] = {"organisation_id": organisation_id, "job_id": job_id}
    urls = {verb.value: url_for(".change_job_of", verb=verb.value, **ids) for verb in Verb}
    urls |= {"show": url_for(".show_job", **ids), "log": url_for(".job_log", **ids)}
    return job_page("operations/job.html", job, urls, organisation=organisation)


@blueprint.get("/organisations/<uuid:organisation_id>/jobs/<uuid:job_id>/log.txt")
def job_log(organisation_id: UUID, job_id: UUID) -> Response:
    """Every line that the job wrote, as plain text."""
    _enter(organisation_id)
    return log_file(get_job(organisation_id, job_id) or abort(404))


@blueprint.post("/organisations/<uuid:organisation_id>/jobs/<uuid:job_id>/<verb>")
def change_job_of(organisation_id: UUID, job_id: UUID, verb: str) -> BaseResponse:
    """Cancel, retry or discard it."""
    if verb not in {one.value for one in Verb}:
        abort(404)
    _enter(organisation_id)
    job = get_job_for_update(organisation_id, job_id) or abort(404)
    wanted = Verb(verb)
    if reason := why_not(wanted, job):
        db.session.rollback()
        flash(reason, "error")
    else:
        _change(wanted, job)
    return redirect(url_for(".show_job", organisation_id=organisation_id, job_id=job_id), 303)


def _change(verb: Verb, job: Job) -> None:
    watch_job(job.organisation_id, job.id)
    change_job(verb, job)
    db.session.commit()
    logger.info(
        "Operator %s asked to %s job %s of organisation %s.", current_user.id, verb.value, job.id, job.organisation_id
    )
    announce(job)
    flash(SAID[verb], "success")


def read_wanted() -> Wanted:
    """What the address or the form looks for; what means nothing is left out."""
    state = request.values.get("state", "")
    return Wanted(
        organisation_id=uuid_or_none(request.values.get("organisation", "")),
        state=JobState(state) if state in {one.value for one in JobState} else None,
        kind=request.values.get("kind", "")[:100] or None,
    )


def given_of(wanted: Wanted) -> dict[str, Any]:
    """The same as arguments of addresses."""
    state = wanted.state.value if wanted.state else None
    given = {"organisation": wanted.organisation_id, "state": state, "kind": wanted.kind}
    return {name: str(value) for name, value in given.items() if value}


def with_plain_address(response: Response, url: str) -> Response:
    """A form names what it does not ask for, too: the browser shows the address without that."""
    if "" in request.args.values():
        response.headers["HX-Replace-Url"] = url
    return response


def choices(wanted: Wanted) -> dict[str, list[tuple[str, str]]]:
    """Organisations and kinds to choose from, and the one that was chosen if it is not among them."""
    labels = kind_labels()
    if wanted.kind:
        labels.setdefault(wanted.kind, wanted.kind)
    return {
        "organisations": [(str(organisation.id), organisation.name) for organisation in list_organisations()],
        "kinds": sorted(labels.items(), key=lambda pair: pair[1]),
    }


def kind_labels() -> dict[str, str]:
    """What people call each kind."""
    return {kind.name: kind.label for kind in list_kinds()}


def uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _enter(organisation_id: UUID) -> Organisation:
    """See that organisation's rows for the rest of the request; the page's frame stays the operator's own."""
    organisation = get_organisation(organisation_id) or abort(404)
    enter_tenant(organisation_id)
    return organisation
