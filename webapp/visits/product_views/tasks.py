"""The actor that moves on the last thirty days of product views."""

from __future__ import annotations

from sqlalchemy import text

from webapp.extensions import db, driver_connection, tenant
from webapp.jobs.broker import actor
from webapp.lib.clock import utc_now
from webapp.visits.counting.product_views import first_day_of
from webapp.visits.counting.product_windows import move_windows

DUE = text("SELECT * FROM footfall_due_product_views(:before)")
EARLIEST_ZONE = "Etc/GMT-14"
"""Where each day begins first."""


@actor("default")
def move_product_views() -> None:
    """Take the days that are no longer among the last thirty off the totals, in every organisation."""
    now = utc_now()
    before = first_day_of(now, EARLIEST_ZONE)
    due = list(db.session.scalars(DUE, {"before": before}))
    db.session.rollback()
    for organisation_id in due:
        with tenant(organisation_id):
            move_windows(driver_connection, db.session.commit, organisation_id, now)
