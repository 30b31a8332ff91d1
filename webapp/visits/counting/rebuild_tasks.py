"""The job that rebuilds a site's roll-ups, and starting it."""

from __future__ import annotations

from uuid import UUID

from webapp.extensions import db, driver_connection, tenant
from webapp.jobs.kinds import Kind, PermanentError, Result, Run
from webapp.jobs.parameters import Parameter
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now
from webapp.visits.counting.checks import forget_differences
from webapp.visits.counting.rebuilding import rebuild_roll_ups
from webapp.visits.counting.rebuilds import REBUILD_NAME, start_stale_rebuilds


def rebuild(run: Run) -> Result:
    """Count a site's roll-ups again, all or none."""
    try:
        site_id = UUID(run.parameters["site_id"])
    except ValueError as error:
        raise PermanentError("That is not the id of a site.") from error
    rebuilt = rebuild_roll_ups(driver_connection(), run.organisation_id, site_id)
    if rebuilt is None:
        raise PermanentError("There is no such site any more.")
    forget_differences(run.organisation_id, site_id)
    db.session.commit()
    return {
        "pageview_count": rebuilt.pageview_count,
        "time_zone": rebuilt.zone,
        "since": rebuilt.since.isoformat() if rebuilt.since else None,
    }


REBUILD = Kind(
    name=REBUILD_NAME,
    label="Rebuild of a site's counts",
    run=rebuild,
    description="Counts a site's days, months, pages and lists again from its raw rows, in its time zone.",
    parameters=(Parameter("site_id", "Site", is_required=True, hint="The site's id."),),
    concurrency_limit=1,
)


def rebuild_stale_sites(organisation_id: UUID) -> None:
    """Start the rebuild of sites whose time zone was changed."""
    with tenant(organisation_id):
        started = start_stale_rebuilds(organisation_id, utc_now())
        db.session.commit()
    if started:
        dispatch()
