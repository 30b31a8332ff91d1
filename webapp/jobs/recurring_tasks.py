"""The actor that starts recurring jobs when their time has come.

The job and the next time are one commit: whoever comes twice, at the same time or after a death in between, finds
the next time, and what was committed and not sent is sent by the scheduler.
"""

from __future__ import annotations

from uuid import UUID

from flask import current_app

from webapp.extensions import db, tenant
from webapp.jobs.announcing import tell_pages
from webapp.jobs.broker import actor
from webapp.jobs.recurring import start_due
from webapp.jobs.recurring_queries import Due, get_recurring_job_for_update, list_due
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now

MOST_AT_ONCE = 500
"""What more is due is started a second later."""


@actor("default")
def start_recurring_jobs() -> None:
    """Start what is due, of every organisation, and send it."""
    due = list_due(utc_now(), MOST_AT_ONCE)
    db.session.rollback()
    for one in due:
        with tenant(one.organisation_id):
            tell_pages(one.organisation_id, _start(one))
    if due:
        dispatch()


def _start(due: Due) -> list[UUID]:
    """The job that was made and committed, if one was. Another may have started it a moment ago."""
    recurring_job = get_recurring_job_for_update(due.organisation_id, due.id)
    job = start_due(recurring_job, current_app.extensions["settings"], utc_now()) if recurring_job else None
    made = [job.id] if job else []
    db.session.commit()
    return made
