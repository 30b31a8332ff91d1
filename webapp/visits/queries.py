"""An organisation's sites, and whether anything was counted on them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text

from webapp.extensions import db
from webapp.visits.models import Site
from webapp.visits.visitor_queries import are_few_visitors as are_few_visitors
from webapp.visits.visitor_queries import get_known_visitor as get_known_visitor
from webapp.visits.visitor_queries import seen_visitor_keys as seen_visitor_keys
from webapp.visits.visitor_queries import was_seen as was_seen


def list_sites(organisation_id: UUID) -> list[Site]:
    """The organisation's sites, oldest first, without deleted ones."""
    own = select(Site).where(Site.organisation_id == organisation_id, Site.deleted_at.is_(None))
    return list(db.session.scalars(own.order_by(Site.id)))


def find_site_by_name(organisation_id: UUID, name: str) -> Site | None:
    """The oldest site of this name."""
    own = select(Site).where(Site.organisation_id == organisation_id, Site.deleted_at.is_(None))
    return db.session.scalars(own.where(Site.name == name).order_by(Site.id).limit(1)).first()


def has_pageviews(organisation_id: UUID, site_ids: Sequence[UUID]) -> bool:
    """Whether anything was ever counted on these sites."""
    found = db.session.execute(text(HAS_PAGEVIEWS), {"organisation_id": organisation_id, "site_ids": list(site_ids)})
    return bool(found.scalar_one())


HAS_PAGEVIEWS = """
    SELECT EXISTS (
        SELECT 1 FROM site_roll_ups
        WHERE organisation_id = :organisation_id AND site_id = ANY(CAST(:site_ids AS uuid[])) AND grain = 'month'
    )
"""
