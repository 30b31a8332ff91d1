"""The job that compares every site's roll-ups with its raw rows, and having it run every night, or soon after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import select, text

from webapp.extensions import database_is_away, db, driver_connection, tenant
from webapp.jobs.broker import actor
from webapp.jobs.kinds import Kind, Result, Run
from webapp.jobs.service import create_job
from webapp.jobs.tasks import dispatch
from webapp.lib.clock import utc_now
from webapp.visits.counting.checking import SHOWN_LIMIT, count_erased_quarters, find_differences
from webapp.visits.counting.checking_months import find_month_differences, list_months
from webapp.visits.counting.checking_views import find_total_differences, find_view_differences
from webapp.visits.counting.checks import KEPT_SENTENCES, note_check
from webapp.visits.counting.rebuild_tasks import rebuild_stale_sites
from webapp.visits.models import Site

NIGHT_HOURS = range(1, 5)
"""By UTC's clock."""
AT_NIGHT_AFTER = timedelta(hours=20)
AT_ANY_HOUR_AFTER = timedelta(hours=24)
"""So long after the last check that succeeded."""
PAUSE = timedelta(hours=2)
"""After one that did not, before the next."""
UNCHECKED = text("SELECT * FROM footfall_unchecked_organisations(:since, :tried_since)")


class CheckFailedError(Exception):
    """Some sites could not be checked; the message says which."""


def check(run: Run) -> Result:
    """Compare every site's roll-ups with its raw rows, and say where they differ."""
    wanted = select(Site.id, Site.name).where(Site.organisation_id == run.organisation_id, Site.erasing_at.is_(None))
    sites = [(site_id, name) for site_id, name in db.session.execute(wanted.order_by(Site.id))]
    result: Result = {"site_count": len(sites), "difference_count": 0, "differences": [], "erased_quarter_count": 0}
    failed: list[str] = []
    for number, (site_id, name) in enumerate(sites, start=1):
        run.report(number - 1, len(sites))
        try:
            _check_site(run, result, site_id, name)
        except Exception as error:  # raised below, all together
            db.session.rollback()
            if database_is_away(error):
                raise
            run.log(f"{name} could not be checked: {type(error).__name__} {error}")
            failed.append(name)
    _note(
        run, result, "All sites", [str(one) for one in find_total_differences(_see_one_moment(), run.organisation_id)]
    )
    result["differences"] = result["differences"][:SHOWN_LIMIT]
    if failed:
        raise CheckFailedError(f"Could not be checked: {', '.join(failed)}. The job’s log says why.")
    return result


def _check_site(run: Run, result: Result, site_id: UUID, name: str) -> None:
    count, told = 0, []
    for differences in _find_all(run.organisation_id, site_id):
        count += len(differences)
        told += differences[:SHOWN_LIMIT]
        _note(run, result, name, differences)
    result["erased_quarter_count"] += _note_erased(run, name, site_id)
    db.session.rollback()
    note_check(run.organisation_id, site_id, utc_now(), count, told[:KEPT_SENTENCES])
    db.session.commit()


def _find_all(organisation_id: UUID, site_id: UUID) -> Iterator[list[str]]:
    """What differs of a site, each time as it is in one moment: no transaction is open for long."""
    yield [str(one) for one in find_differences(_see_one_moment(), organisation_id, site_id)]
    yield [str(one) for one in find_view_differences(_see_one_moment(), organisation_id, site_id)]
    for month in list_months(_see_one_moment(), organisation_id, site_id):
        yield [str(one) for one in find_month_differences(_see_one_moment(), organisation_id, site_id, month)]


def _see_one_moment() -> psycopg.Connection[Any]:
    """A transaction that sees nothing of what is counted meanwhile."""
    db.session.rollback()
    db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    return driver_connection()


def _note_erased(run: Run, name: str, site_id: UUID) -> int:
    erased_count = count_erased_quarters(driver_connection(), run.organisation_id, site_id)
    if erased_count:
        run.log(f"{name}: {erased_count:,} quarters of an hour hold counts of people who were erased; that is right.")
    return erased_count


def _note(run: Run, result: Result, name: str, found: Sequence[str]) -> None:
    for difference in found[:SHOWN_LIMIT]:
        run.log(f"{name}: {difference}")
    result["difference_count"] += len(found)
    result["differences"] += [f"{name}: {difference}" for difference in found[: SHOWN_LIMIT // 4]]


CHECK = Kind(
    name="check_roll_ups",
    label="Check of the counted visits",
    run=check,
    description="Compares what is counted of every site with its raw rows, and reports every difference.",
    concurrency_limit=1,
)


@actor("default")
def check_roll_ups() -> None:
    """Have every organisation's counts checked once a night, and rebuilt where a changed time zone was missed.

    A night that was missed, or ended without success, is made up for at any hour.
    """
    now = utc_now()
    unchecked = list(db.session.scalars(UNCHECKED, {"since": due_before(now), "tried_since": now - PAUSE}))
    db.session.rollback()
    for organisation_id in unchecked:
        rebuild_stale_sites(organisation_id)
        with tenant(organisation_id):
            create_job(organisation_id, CHECK, {})
            db.session.commit()
    if unchecked:
        dispatch()


def due_before(now: datetime) -> datetime:
    """Whoever was checked before is to be checked now."""
    return now - (AT_NIGHT_AFTER if now.hour in NIGHT_HOURS else AT_ANY_HOUR_AFTER)
