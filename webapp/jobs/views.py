"""The jobs pages."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, Response, current_app, request, url_for

from webapp.accounts.current import current_organisation
from webapp.jobs.filters import JobFilter
from webapp.jobs.kinds import label_of
from webapp.jobs.models import JobState
from webapp.jobs.queries import list_jobs
from webapp.live.channels import jobs_channel, stream_url
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


def _state_or_none(text: str) -> JobState | None:
    return JobState(text) if text in {state.value for state in JobState} else None


def _uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
