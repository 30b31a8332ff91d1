"""What is kept beside a site's visits."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from sqlalchemy import select

from webapp.extensions import db
from webapp.visits.site_page.models import ChartNote, Funnel, Goal, Segment, SharedLink


def list_goals(organisation_id: UUID, site_id: UUID) -> list[Goal]:
    """The site's goals, oldest first."""
    wanted = select(Goal).where(Goal.organisation_id == organisation_id, Goal.site_id == site_id).order_by(Goal.id)
    return list(db.session.scalars(wanted))


def list_segments(organisation_id: UUID, site_id: UUID) -> list[Segment]:
    """The site's segments by their name."""
    wanted = select(Segment).where(Segment.organisation_id == organisation_id, Segment.site_id == site_id)
    return list(db.session.scalars(wanted.order_by(Segment.name)))


def find_segment(organisation_id: UUID, site_id: UUID, name: str) -> Segment | None:
    """The site's segment of this name."""
    wanted = select(Segment).where(Segment.organisation_id == organisation_id, Segment.site_id == site_id)
    return db.session.scalars(wanted.where(Segment.name == name)).first()


def list_funnels(organisation_id: UUID, site_id: UUID) -> list[Funnel]:
    """The site's saved funnels by their name."""
    wanted = select(Funnel).where(Funnel.organisation_id == organisation_id, Funnel.site_id == site_id)
    return list(db.session.scalars(wanted.order_by(Funnel.name)))


def get_funnel(organisation_id: UUID, funnel_id: UUID) -> Funnel | None:
    """One saved funnel."""
    return db.session.get(Funnel, (organisation_id, funnel_id))


def list_notes(organisation_id: UUID, site_id: UUID, first: date, last: date) -> list[ChartNote]:
    """The notes on these days, in their order."""
    wanted = select(ChartNote).where(
        ChartNote.organisation_id == organisation_id,
        ChartNote.site_id == site_id,
        ChartNote.day >= first,
        ChartNote.day <= last,
    )
    return list(db.session.scalars(wanted.order_by(ChartNote.day, ChartNote.id)))


def list_all_notes(organisation_id: UUID, site_id: UUID) -> list[ChartNote]:
    """The latest day first."""
    wanted = select(ChartNote).where(ChartNote.organisation_id == organisation_id, ChartNote.site_id == site_id)
    return list(db.session.scalars(wanted.order_by(ChartNote.day.desc(), ChartNote.id)))


def list_shared_links(organisation_id: UUID, site_id: UUID) -> list[SharedLink]:
    """The site's links, oldest first."""
    wanted = select(SharedLink).where(SharedLink.organisation_id == organisation_id, SharedLink.site_id == site_id)
    return list(db.session.scalars(wanted.order_by(SharedLink.id)))


def find_shared_link(organisation_id: UUID, secret: str) -> SharedLink | None:
    """The link with this secret."""
    wanted = select(SharedLink).where(SharedLink.organisation_id == organisation_id, SharedLink.secret == secret)
    return db.session.scalars(wanted).first()
