"""What did these do on the websites? Contacts and products ask here, by their own keys, when they are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, exists, func, select

from webapp.extensions import db
from webapp.visits.models import KnownVisitor, KnownVisitorCount


def get_known_visitor(organisation_id: UUID, key: str) -> KnownVisitor | None:
    """What the visitor of this key did; None for one that was never seen."""
    return db.session.get(KnownVisitor, (organisation_id, key))


def list_known_visitors(organisation_id: UUID, keys: Iterable[str]) -> dict[str, KnownVisitor]:
    """What the visitors of these keys did, by key: for the records of one page."""
    query = select(KnownVisitor).where(
        KnownVisitor.organisation_id == organisation_id, KnownVisitor.visitor_key.in_(list(keys))
    )
    return {visitor.visitor_key: visitor for visitor in db.session.scalars(query)}


def was_seen(
    organisation_id: UUID, key_column: SQLColumnExpression[str], since: datetime | None = None
) -> ColumnElement[bool]:
    """Whether the record with this key (`Contact.email_key`, `Product.sku_key`) was seen, or was since a moment.

    One index look-up for each record that is asked about. The OFFSET keeps it so: without it PostgreSQL, which
    under the policy cannot know how many visitors there are, may read all of them to answer for a page of records.
    """
    rows = _rows(organisation_id, since).where(KnownVisitor.visitor_key == key_column)
    return exists(rows.correlate_except(KnownVisitor).offset(0))


def count_known_visitors(organisation_id: UUID) -> int:
    """How many there are, of all kinds, without counting them: whether it is their keys that should drive a search."""
    query = select(func.sum(KnownVisitorCount.visitor_count)).where(
        KnownVisitorCount.organisation_id == organisation_id
    )
    return int(db.session.scalar(query) or 0)


def seen_visitor_keys(organisation_id: UUID, since: datetime | None = None) -> Select[str]:
    """The keys that were seen, to drive a search from: in the order of the keys, by the primary key."""
    return _rows(organisation_id, since).order_by(KnownVisitor.visitor_key)


def _rows(organisation_id: UUID, since: datetime | None) -> Select[str]:
    query = select(KnownVisitor.visitor_key).where(KnownVisitor.organisation_id == organisation_id)
    return query if since is None else query.where(KnownVisitor.last_seen_at >= since)
