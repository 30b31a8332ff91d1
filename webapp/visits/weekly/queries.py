"""Who is to get a weekly report, and what became of those that were sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select, text

from webapp.accounts.models import Membership, User
from webapp.extensions import db
from webapp.lib.zones import zone_named
from webapp.visits.counting.models import SiteRollUp
from webapp.visits.models import Grain
from webapp.visits.weekly.models import WeeklyMail, WeeklySubscription

SUBSCRIBED_SITES = text("SELECT * FROM footfall_sites_with_weekly_mail()")


@dataclass(frozen=True)
class SubscribedSite:
    """A site whose report somebody wants by mail."""

    organisation_id: UUID
    site_id: UUID
    zone: ZoneInfo


@dataclass(frozen=True)
class Recipient:
    """A member who asked for the mail."""

    user_id: UUID
    name: str
    email: str


def list_subscribed_sites() -> list[SubscribedSite]:
    """Those of every organisation; it needs no tenant."""
    found = db.session.execute(SUBSCRIBED_SITES)
    return [SubscribedSite(row.organisation_id, row.site_id, zone_named(row.time_zone)) for row in found]


def list_recipients(organisation_id: UUID, site_id: UUID, monday: date, asked_before: datetime) -> list[Recipient]:
    """Members with a verified address who asked for the mail before it was due, and for whom no mail is claimed."""
    has_mail = (
        select(WeeklyMail.user_id)
        .where(
            WeeklyMail.organisation_id == organisation_id,
            WeeklyMail.site_id == site_id,
            WeeklyMail.monday == monday,
            WeeklyMail.user_id == WeeklySubscription.user_id,
        )
        .exists()
    )
    found = db.session.execute(
        select(User.id, User.name, User.email)
        .join(WeeklySubscription, WeeklySubscription.user_id == User.id)
        .join(
            Membership,
            (Membership.user_id == User.id) & (Membership.organisation_id == WeeklySubscription.organisation_id),
        )
        .where(
            WeeklySubscription.organisation_id == organisation_id,
            WeeklySubscription.site_id == site_id,
            WeeklySubscription.created_at < asked_before,
            User.email_is_verified,
            ~has_mail,
        )
        .order_by(User.id)
    )
    return [Recipient(*row) for row in found]


def get_subscription(organisation_id: UUID, site_id: UUID, user_id: UUID) -> WeeklySubscription | None:
    """The person's wish for this site's mail."""
    return db.session.get(WeeklySubscription, (organisation_id, site_id, user_id))


def list_own_mails(organisation_id: UUID, site_id: UUID, user_id: UUID) -> Sequence[WeeklyMail]:
    """What became of the mails to one person."""
    return db.session.scalars(
        select(WeeklyMail).where(
            WeeklyMail.organisation_id == organisation_id,
            WeeklyMail.site_id == site_id,
            WeeklyMail.user_id == user_id,
        )
    ).all()


def first_counted_at(organisation_id: UUID, site_id: UUID) -> datetime | None:
    """The first day on which something was counted."""
    return db.session.scalar(
        select(func.min(SiteRollUp.bucket_at)).where(
            SiteRollUp.organisation_id == organisation_id,
            SiteRollUp.site_id == site_id,
            SiteRollUp.grain == Grain.DAY,
        )
    )
