"""The job that erases people's visits, and starting it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from flask import current_app
from sqlalchemy import select, text

from webapp.extensions import db, tenant
from webapp.jobs.kinds import Kind, PostponedError, Result, Run, get_kind
from webapp.jobs.models import Job, JobState
from webapp.jobs.service import create_job
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now
from webapp.visits.people import erasing
from webapp.visits.raw.erasing import erase_visitors
from webapp.visits.raw.sealing import RowsMovedError, Sealer

ERASE_NAME = "erase_people"
TO_ERASE = text("SELECT organisation_id FROM footfall_organisations_to_erase(:forgotten_before)")


def erase(run: Run) -> Result:
    """Erase everybody who waits for it, some hundreds at once."""
    erased_count, total_count = 0, erasing.count_waiting(run.organisation_id)
    while asked := erasing.list_waiting(run.organisation_id):
        run.report(erased_count, max(total_count, erased_count + len(asked)))
        try:
            erase_them(run.organisation_id, asked)
        except RowsMovedError as error:
            reason = "So much is counted at the moment that visits cannot be taken out."
            raise PostponedError(utc_now() + erasing.PAUSE, reason) from error
        erased_count += len(asked)
    return {"erased_count": erased_count}


def erase_them(organisation_id: UUID, asked: Mapping[str, datetime]) -> None:
    """Erase these people. What was done before it died does no harm when it is done again."""
    erasing.wait_for_counting()
    db.session.commit()
    visitors = erasing.find_visitors(organisation_id, asked)
    sealer = Sealer(current_app.extensions["settings"])
    for site_id, numbers in visitors.items():
        erase_visitors(sealer, organisation_id, [site_id], numbers, db.session.commit)
    erasing.forget_people(organisation_id, asked, visitors, utc_now())
    db.session.commit()


ERASE = Kind(
    name=ERASE_NAME,
    label="Erasing of people's visits",
    run=erase,
    description="Takes what people did out of the websites' visits after their contacts were deleted for good.",
    concurrency_limit=1,
)


def start_erasing(organisation_id: UUID, created_by: UUID | None = None) -> Job:
    """The job that erases who waits; one that has not begun will do, and is held until the commit. Announce it then."""
    waiting = select(Job).where(
        Job.organisation_id == organisation_id, Job.kind == ERASE_NAME, Job.state == JobState.PENDING
    )
    found = db.session.scalars(waiting.order_by(Job.id).limit(1).with_for_update(skip_locked=True)).first()
    return found or create_job(organisation_id, get_kind(ERASE_NAME), {}, created_by=created_by)


def start_waiting_erasures() -> None:
    """Have everybody erased who waits for it, in every organisation, and forget who was erased long ago."""
    now = utc_now()
    found = list(db.session.scalars(TO_ERASE, {"forgotten_before": now - erasing.REMEMBERED_FOR}))
    db.session.rollback()
    for organisation_id in found:
        with tenant(organisation_id):
            erasing.forget_erasures(organisation_id, now)
            if erasing.count_waiting(organisation_id):
                start_erasing(organisation_id)
            db.session.commit()
    if found:
        dispatch()
