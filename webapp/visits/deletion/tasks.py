"""The job that removes a deleted site for good, and the actor that starts it when its time has come."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from sqlalchemy import select, text

from webapp.extensions import db, driver_connection, tenant
from webapp.jobs.broker import actor
from webapp.jobs.kinds import Kind, PermanentError, Result, Run
from webapp.jobs.models import UNFINISHED_STATES, Job
from webapp.jobs.parameters import Parameter
from webapp.jobs.service import create_job
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now
from webapp.visits.deletion.erasing import Erased, close_site, steps
from webapp.visits.deletion.service import KEPT_FOR
from webapp.visits.models import Site

TO_ERASE = text("SELECT * FROM footfall_sites_to_erase(:before)")


def erase(run: Run) -> Result:
    """Remove all that was kept of a site. Begun again, it goes on where it died."""
    try:
        site_id = UUID(run.parameters["site_id"])
    except ValueError as error:
        raise PermanentError("That is not the id of a site.") from error
    erased, now = Erased(run.organisation_id, site_id), utc_now()
    is_closed = close_site(driver_connection(), erased, now, now - KEPT_FOR)
    db.session.commit()
    if not is_closed:
        return _nothing_to_erase(erased)
    removed: Counter[str] = Counter()
    for table, count in steps(driver_connection, erased, now):
        db.session.commit()
        removed[table] += count
        run.report(removed.total())
    return {"removed": dict(removed)}


def _nothing_to_erase(erased: Erased) -> Result:
    """It is gone already, which another run may have done before it died; or it came back."""
    site = db.session.scalars(
        select(Site).where(Site.organisation_id == erased.organisation_id, Site.id == erased.site_id)
    ).one_or_none()
    if site is not None:
        raise PermanentError("The site was not deleted, or not long enough ago.")
    return {"removed": {}}


ERASE = Kind(
    name="erase_site",
    label="Removal of a deleted site",
    run=erase,
    description=f"Removes for good what was counted and kept of a site that was deleted {KEPT_FOR.days} days ago.",
    parameters=(Parameter("site_id", "Site", is_required=True, hint="The site's id."),),
    concurrency_limit=1,
)


@actor("default")
def erase_deleted_sites() -> None:
    """Start the removal of every site whose time has come and that has no such job."""
    found = [(row.organisation_id, row.id) for row in db.session.execute(TO_ERASE, {"before": utc_now() - KEPT_FOR})]
    db.session.rollback()
    for organisation_id, site_id in found:
        with tenant(organisation_id):
            if not _is_being_erased(organisation_id, site_id):
                create_job(organisation_id, ERASE, {"site_id": str(site_id)})
            db.session.commit()
    if found:
        dispatch()


def _is_being_erased(organisation_id: UUID, site_id: UUID) -> bool:
    jobs = db.session.scalars(
        select(Job).where(
            Job.organisation_id == organisation_id, Job.kind == ERASE.name, Job.state.in_(UNFINISHED_STATES)
        )
    )
    return any(job.parameters.get("site_id") == str(site_id) for job in jobs)
