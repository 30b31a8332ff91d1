"""Dead letters of all organisations: tried again, or put away; one, the ticked ones, or all that match."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from flask import Response, abort, flash, redirect, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response as BaseResponse

from webapp.extensions import db, tenant
from webapp.jobs.announcing import announce, announce_several
from webapp.jobs.filters import JobFilter
from webapp.jobs.listing import PAST
from webapp.jobs.models import JobState
from webapp.jobs.verbs import Verb, change_jobs, start_change
from webapp.operations.hints import hint
from webapp.operations.job_views import (
    choices,
    given_of,
    kind_labels,
    read_wanted,
    uuid_or_none,
    with_plain_address,
)
from webapp.operations.queries import (
    PAGE_SIZE,
    Page,
    Wanted,
    capped,
    count_dead_letters,
    get_organisation_names,
    list_dead_letters,
)
from webapp.operations.views import blueprint, operations_stream
from webapp.pages import render_page

logger = logging.getLogger(__name__)
VERBS = {verb.value: verb for verb in (Verb.RETRY, Verb.DISCARD)}


@blueprint.get("/dead-letters")
def dead_letters() -> Response:
    """Jobs whose attempts are spent, the latest first."""
    wanted, before = read_wanted(), _before()
    page = list_dead_letters(wanted, before=before)
    counts = count_dead_letters(wanted)
    given = given_of(wanted)
    here = url_for(".dead_letters", **given, before=request.args.get("before"))
    response = render_page(
        "operations/dead_letters.html",
        block="dead_letters",
        jobs=page.jobs,
        count=capped(sum(counts.values())),
        given=given,
        choices=choices(wanted),
        here=here,
        first_url=url_for(".dead_letters", **given) if before else None,
        next_url=url_for(".dead_letters", **given, before=_cursor(page)) if page.has_more else None,
        stream=operations_stream(),
        labels=kind_labels(),
    )
    return with_plain_address(response, here)


@blueprint.post("/dead-letters/change")
def change_dead_letters() -> BaseResponse:
    """Do it to the ticked ones; to all that match after a question."""
    verb, wanted = _verb(request.form.get("verb", "")), read_wanted()
    if request.form.get("scope") == "matching":
        return redirect(url_for(".confirm_dead_letters", verb=verb.value, **given_of(wanted)), 303)
    ticked = _ticked(request.form.getlist("job")[:PAGE_SIZE])
    changed_count = sum(_change(verb, organisation_id, ids) for organisation_id, ids in ticked.items())
    hint()
    words = f"{'One job is' if changed_count == 1 else f'{changed_count:,} jobs are'} {PAST[verb]}."
    flash(words if ticked else "Tick some jobs first.", "success" if changed_count else "warning")
    return redirect(url_for(".dead_letters", **given_of(wanted)), 303)


@blueprint.get("/dead-letters/change")
def confirm_dead_letters() -> Response:
    """Ask first, and say how many these are."""
    wanted = read_wanted()
    counts = count_dead_letters(wanted)
    return render_page(
        "operations/change_dead_letters.html",
        verb=_verb(request.args.get("verb", "")),
        count=capped(sum(counts.values())),
        organisation_count=len(counts),
        organisation_name=_name_of(wanted.organisation_id),
        kind_label=kind_labels().get(wanted.kind, wanted.kind) if wanted.kind else None,
        given=given_of(wanted),
    )


@blueprint.post("/dead-letters/change-matching")
def change_matching_dead_letters() -> BaseResponse:
    """Start a job in each organisation that has some, which goes through all of them."""
    verb, wanted = _verb(request.form.get("verb", "")), read_wanted()
    organisation_ids = list(count_dead_letters(wanted))
    for organisation_id in organisation_ids:
        _start_change(verb, organisation_id, wanted)
    hint()
    count = len(organisation_ids)
    words = f"A job that does it is started in {'one organisation' if count == 1 else f'{count:,} organisations'}."
    flash(words if count else "There are none any more.", "success")
    return redirect(url_for(".dead_letters"), 303)


def _change(verb: Verb, organisation_id: UUID, job_ids: Sequence[UUID]) -> int:
    with tenant(organisation_id):
        changed_ids = [job.id for job in change_jobs(organisation_id, verb, job_ids).changed]
        db.session.commit()
        logger.info(
            "Operator %s asked to %s %s dead letters of organisation %s.",
            current_user.id,
            verb.value,
            len(changed_ids),
            organisation_id,
        )
        announce_several(organisation_id, changed_ids)
    return len(changed_ids)


def _start_change(verb: Verb, organisation_id: UUID, wanted: Wanted) -> None:
    job_filter = JobFilter(states=frozenset({JobState.DEAD}), kind=wanted.kind)
    with tenant(organisation_id):
        job = start_change(organisation_id, verb, job_filter, UTC)
        db.session.commit()
        logger.info(
            "Operator %s asked to %s all dead letters of organisation %s.", current_user.id, verb.value, organisation_id
        )
        announce(job)


def _ticked(values: Sequence[str]) -> dict[UUID, list[UUID]]:
    """Ids of jobs by organisation, out of texts like "organisation/job"."""
    ticked: dict[UUID, list[UUID]] = {}
    for value in values:
        organisation, _, job = value.partition("/")
        organisation_id, job_id = uuid_or_none(organisation), uuid_or_none(job)
        if organisation_id and job_id:
            ticked.setdefault(organisation_id, []).append(job_id)
    return ticked


def _name_of(organisation_id: UUID | None) -> str | None:
    return get_organisation_names([organisation_id]).get(organisation_id) if organisation_id else None


def _verb(name: str) -> Verb:
    return VERBS.get(name) or abort(400, "Choose what is to be done: retry or discard.")


def _cursor(page: Page) -> str:
    last = page.jobs[-1]
    return f"{(last.ended_at or last.created_at).isoformat()}_{last.id}"


def _before() -> tuple[datetime, UUID] | None:
    """Where the page before ended; an address that was mistyped begins at the latest."""
    at, _, text = request.args.get("before", "").partition("_")
    job_id = uuid_or_none(text)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None
    return (moment, job_id) if job_id and moment.tzinfo else None
