"""Reads of what was not counted of a site."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import func, select

from webapp.extensions import db
from webapp.visits.models import DropCount


def list_drops(organisation_id: UUID, site_id: UUID, since: date) -> list[tuple[str, int]]:
    """How many beacons were not counted since a day, by reason, the most frequent first."""
    drop_count = func.sum(DropCount.drop_count)
    statement = (
        select(DropCount.reason, drop_count)
        .where(DropCount.organisation_id == organisation_id, DropCount.site_id == site_id, DropCount.day >= since)
        .group_by(DropCount.reason)
        .order_by(drop_count.desc(), DropCount.reason)
    )
    return [(reason, int(count)) for reason, count in db.session.execute(statement)]
