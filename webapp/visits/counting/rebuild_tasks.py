"""Jobs about counting: rebuilding a site's roll-ups, and comparing them every night with the raw rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import select, text

from webapp.extensions import db, driver_connection, tenant
from webapp.jobs.broker import actor
from webapp.jobs.kinds import Kind, PermanentError, Result, Run
from webapp.jobs.parameters import Parameter
from webapp.jobs.service import create_job
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now
from webapp.visits.counting.checking import SHOWN_LIMIT, Difference, count_erased_quarters, find_differences
from webapp.visits.counting.checking_views import ViewDifference, find_total_differences, find_view_differences
from webapp.visits.counting.rebuilding import rebuild_roll_ups
from webapp.visits.counting.rebuilds import REBUILD_NAME, start_stale_rebuilds
from webapp.visits.models import Site

CHECK_EVERY = timedelta(hours=23)
CHECK_HOURS = range(1, 5)
"""By UTC's clock."""
UNCHECKED = text("SELECT * FROM footfall_unchecked_organisations(:since)")


def rebuild(run: Run) -> Result:
    """Count a site's roll-ups again, all or none."""
    try:
        site_id = UUID(run.parameters["site_id"])
    except ValueError as error:
        raise PermanentError("That is not the id of a site.") from error
    rebuilt = rebuild_roll_ups(driver_connection(), run.organisation_id, site_id)
    if rebuilt is None:
        raise PermanentError("There is no such site any more.")
    db.session.commit()
    return {
        "pageview_count": rebuilt.pageview_count,
        "time_zone": rebuilt.zone,
        "since": rebuilt.since.isoformat() if rebuilt.since else None,
    }


def check(run: Run) -> Result:
    """Compare every site's roll-ups with its raw rows, and say where they differ."""
    wanted = select(Site.id, Site.name).where(Site.organisation_id == run.organisation_id, Site.erasing_at.is_(None))
    sites = [(site_id, name) for site_id, name in db.session.execute(wanted.order_by(Site.id))]
    result: Result = {"site_count": len(sites), "difference_count": 0, "differences": [], "erased_quarter_count": 0}
    for number, (site_id, name) in enumerate(sites, start=1):
        run.report(number - 1, len(sites))
        connection = _see_one_moment()
        _note(run, result, name, find_differences(connection, run.organisation_id, site_id))
        _note(run, result, name, find_view_differences(connection, run.organisation_id, site_id))
        result["erased_quarter_count"] += _note_erased(run, name, connection, site_id)
    _note(run, result, "All sites", find_total_differences(_see_one_moment(), run.organisation_id))
    result["differences"] = result["differences"][:SHOWN_LIMIT]
    return result


def _see_one_moment() -> psycopg.Connection[Any]:
    """A transaction that sees nothing of what is counted meanwhile."""
    db.session.rollback()
    db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    return driver_connection()


def _note_erased(run: Run, name: str, connection: psycopg.Connection[Any], site_id: UUID) -> int:
    erased_count = count_erased_quarters(connection, run.organisation_id, site_id)
    if erased_count:
        run.log(f"{name}: {erased_count:,} quarters of an hour hold counts of people who were erased; that is right.")
    return erased_count


def _note(run: Run, result: Result, name: str, found: Sequence[Difference | ViewDifference]) -> None:
    for difference in found[:SHOWN_LIMIT]:
        run.log(f"{name}: {difference}")
    result["difference_count"] += len(found)
    result["differences"] += [f"{name}: {difference}" for difference in found[: SHOWN_LIMIT // 4]]


REBUILD = Kind(
    name=REBUILD_NAME,
    label="Rebuild of a site's counts",
    run=rebuild,
    description="Counts a site's days, months, pages and lists again from its raw rows, in its time zone.",
    parameters=(Parameter("site_id", "Site", is_required=True, hint="The site's id."),),
    concurrency_limit=1,
)
CHECK = Kind(
    name="check_roll_ups",
    label="Check of the counted visits",
    run=check,
    description="Compares what is counted of every site with its raw rows, and reports every difference.",
    concurrency_limit=1,
)


@actor("default")
def check_roll_ups() -> None:
    """Have every organisation's counts checked once a night, and rebuilt where a changed time zone was missed."""
    now = utc_now()
    if now.hour not in CHECK_HOURS:
        return
    unchecked = list(db.session.scalars(UNCHECKED, {"since": now - CHECK_EVERY}))
    db.session.rollback()
    for organisation_id in unchecked:
        rebuild_stale_sites(organisation_id)
        with tenant(organisation_id):
            create_job(organisation_id, CHECK, {})
            db.session.commit()
    if unchecked:
        dispatch()


def rebuild_stale_sites(organisation_id: UUID) -> None:
    """Start the rebuild of sites whose time zone was changed."""
    with tenant(organisation_id):
        started = start_stale_rebuilds(organisation_id, utc_now())
        db.session.commit()
    if started:
        dispatch()
