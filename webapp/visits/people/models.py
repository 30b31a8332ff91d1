"""Who visitors are: what they said and by what they are known, and of people who were erased that they were."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import TenantKey, text_enum
from webapp.visits.visitor_keys import KeyKind


class Identity(Model):
    """Who a visitor said they are, folded as records fold their keys; what was named first wins."""

    __tablename__ = "identities"
    __table_args__ = (Index("ix_identities_identity", "organisation_id", "identity"),)

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    visitor: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(Text(collation="C"))
    first_at: Mapped[datetime]


class RefusedMerge(Model):
    """Somebody else whom a visitor said to be later."""

    __tablename__ = "refused_merges"
    __table_args__ = (
        Index("ix_refused_merges_identity", "organisation_id", "identity"),
        Index("ix_refused_merges_at", "organisation_id", "at", "site_id", "visitor"),
    )

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    visitor: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    identity: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    at: Mapped[datetime]


class KnownVisitor(Model):
    """What a visitor did whose identifier can name a record: an e-mail address, a customer number, a SKU.

    The key is folded as records fold theirs, and sorts as theirs do.
    """

    __tablename__ = "known_visitors"

    organisation_id: Mapped[TenantKey]
    visitor_key: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    pageview_count: Mapped[int] = mapped_column(BigInteger)


class KnownVisitorCount(Model):
    """How many known visitors of one kind there are, so that their number can be bounded."""

    __tablename__ = "known_visitor_counts"

    organisation_id: Mapped[TenantKey]
    kind: Mapped[KeyKind] = mapped_column(text_enum(KeyKind), primary_key=True)
    visitor_count: Mapped[int] = mapped_column(BigInteger)


class Erasure(Model):
    """Somebody whose visits are to be erased, or were.

    A beacon of before `requested_at` that is counted later does not link anybody with this person again.
    """

    __tablename__ = "erasures"

    organisation_id: Mapped[TenantKey]
    identity: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    requested_at: Mapped[datetime]
    erased_at: Mapped[datetime | None]


class ErasedCount(Model):
    """What raw rows that were erased added to a quarter of an hour: by so much roll-ups tell more than raw rows do."""

    __tablename__ = "erased_counts"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    bucket_at: Mapped[datetime] = mapped_column(primary_key=True)
    pageview_count: Mapped[int] = mapped_column(BigInteger)
    visit_count: Mapped[int] = mapped_column(BigInteger)
    bounce_count: Mapped[int] = mapped_column(BigInteger)
    visit_ms: Mapped[int] = mapped_column(BigInteger)
    event_count: Mapped[int] = mapped_column(BigInteger)
    engaged_ms: Mapped[int] = mapped_column(BigInteger)
