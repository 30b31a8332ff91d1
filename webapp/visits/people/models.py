"""What is kept of people who were erased: that they were, for as long as late beacons may name them, and numbers."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import TenantKey


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
