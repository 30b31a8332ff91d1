"""One site, and what was not counted on it, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from uuid import UUID

from sqlalchemy import Select, func, select

from webapp.extensions import db
from webapp.visits.collecting.refusals import EXPLANATIONS, SITE_DELETED
from webapp.visits.models import DropCount, Site

OTHERWISE = "Beacons that could not be counted."
DAYS = (1, 7, 30)


@dataclass(frozen=True)
class Drops:
    """How many beacons were not counted for one reason: today, in 7 and in 30 days (UTC)."""

    reason: str
    explanation: str
    today_count: int
    week_count: int
    month_count: int


def find_site(organisation_id: UUID, site_id: UUID) -> Site | None:
    """One of the organisation's sites that is not deleted."""
    wanted = select(Site).where(Site.organisation_id == organisation_id, Site.id == site_id)
    return db.session.scalars(wanted.where(Site.deleted_at.is_(None))).one_or_none()


def find_deleted_site(organisation_id: UUID, site_id: UUID) -> Site | None:
    """One that is deleted and may come back, locked."""
    return db.session.scalars(_deleted(organisation_id).where(Site.id == site_id).with_for_update()).one_or_none()


def list_deleted_sites(organisation_id: UUID) -> list[Site]:
    """Those that may come back, the latest deleted first."""
    return list(db.session.scalars(_deleted(organisation_id).order_by(Site.deleted_at.desc(), Site.id)))


def count_drops_since(site: Site) -> int:
    """How many beacons a deleted site's pages reported all the same."""
    counted = select(func.coalesce(func.sum(DropCount.drop_count), 0)).where(
        DropCount.organisation_id == site.organisation_id,
        DropCount.site_id == site.id,
        DropCount.reason == SITE_DELETED,
    )
    return int(db.session.scalars(counted).one())


def _deleted(organisation_id: UUID) -> Select[Site]:
    own = select(Site).where(Site.organisation_id == organisation_id)
    return own.where(Site.deleted_at.is_not(None), Site.erasing_at.is_(None))


def list_drops(organisation_id: UUID, site_id: UUID, today: date) -> list[Drops]:
    """The reasons of the last 30 days, the most frequent first."""
    since = [func.sum(DropCount.drop_count).filter(DropCount.day > today - timedelta(days=days)) for days in DAYS]
    found = db.session.execute(
        select(DropCount.reason, *[func.coalesce(count, 0) for count in since])
        .where(DropCount.organisation_id == organisation_id, DropCount.site_id == site_id)
        .where(DropCount.day > today - timedelta(days=DAYS[-1]))
        .group_by(DropCount.reason)
    )
    drops = [
        Drops(reason, EXPLANATIONS.get(reason, OTHERWISE), *(int(count) for count in counts))
        for reason, *counts in found
    ]
    return sorted(drops, key=lambda one: (-one.month_count, one.reason))
