"""Who was on the websites? Contacts and products ask here, by their own keys, when they are read.

A visitor has the key that the site calls them by, or the identity that they named.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, SQLColumnExpression, exists, func, or_, select

from webapp.extensions import db
from webapp.visits.people.models import Identity, KnownVisitor, KnownVisitorCount


def get_known_visitor(organisation_id: UUID, key: str) -> KnownVisitor | None:
    """What the visitor whom a site calls by this key did; None for one that was never seen."""
    return db.session.get(KnownVisitor, (organisation_id, key))


def was_seen(organisation_id: UUID, key_column: SQLColumnExpression[str]) -> ColumnElement[bool]:
    """Whether the record with this key (`Contact.email_key`, `Product.sku_key`) was seen.

    Two index look-ups for each record that is asked about. The OFFSET keeps it so: without it PostgreSQL, which
    under the policy cannot know how many visitors there are, may read all of them to answer for a page of records.
    """
    called = select(KnownVisitor.visitor_key).where(
        KnownVisitor.organisation_id == organisation_id, KnownVisitor.visitor_key == key_column
    )
    named = select(Identity.identity).where(
        Identity.organisation_id == organisation_id, Identity.identity == key_column
    )
    return or_(
        exists(called.correlate_except(KnownVisitor).offset(0)), exists(named.correlate_except(Identity).offset(0))
    )


def are_few_visitors(organisation_id: UUID, limit: int) -> bool:
    """Whether so few have a key that these should drive a search; without counting those of many."""
    query = select(func.sum(KnownVisitorCount.visitor_count)).where(
        KnownVisitorCount.organisation_id == organisation_id
    )
    named = select(Identity.visitor).where(Identity.organisation_id == organisation_id).limit(limit + 1).subquery()
    named_count = db.session.scalar(select(func.count()).select_from(named)) or 0
    return int(db.session.scalar(query) or 0) + named_count <= limit


def seen_visitor_keys(organisation_id: UUID) -> CompoundSelect[str]:
    """The keys that were seen, to drive a search from."""
    called = select(KnownVisitor.visitor_key).where(KnownVisitor.organisation_id == organisation_id)
    return called.union(select(Identity.identity).where(Identity.organisation_id == organisation_id))
