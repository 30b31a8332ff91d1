"""Sites, what was seen on them, and what is rolled up from it.

`pageviews` and `seen` are partitioned by day; `footfall_make_partitions` makes their partitions.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, LargeBinary, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.visits.visitor_keys import KeyKind

OTHER_PAGE_ID = UUID(int=0)
"""Stands for every page beyond the number that is counted one by one."""


class Grain(enum.Enum):
    """The width of a bucket.

    Quarters of an hour are cut in UTC: every time zone's hours and days are made of whole ones.
    Days and months are cut in the organisation's zone, so that a long range reads few rows.
    """

    QUARTER = "quarter"
    DAY = "day"
    MONTH = "month"


class Site(Model):
    """A website that reports its visits."""

    __tablename__ = "sites"
    __table_args__ = (
        ForeignKeyConstraint(["organisation_id"], ["organisations.id"]),
        UniqueConstraint("organisation_id", "site_key"),
    )

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    name: Mapped[str]
    site_key: Mapped[str]
    origins: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[CreatedAt]


class Page(Model):
    """The address of a page that was seen; its id is made from the address."""

    __tablename__ = "pages"

    organisation_id: Mapped[TenantKey]
    id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]


class Pageview(Model):
    """One page shown, as it was reported: the hot rows, partitioned by day."""

    __tablename__ = "pageviews"
    __table_args__ = {"postgresql_partition_by": "RANGE (visited_at)"}  # noqa: RUF012

    organisation_id: Mapped[TenantKey]
    visited_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    site_id: Mapped[UUID]
    page_id: Mapped[UUID]
    received_at: Mapped[datetime]
    visitor: Mapped[str]
    page_url: Mapped[str]
    referrer: Mapped[str]
    screen: Mapped[str]


class SeenBeacon(Model):
    """The id of a beacon that was counted, so that it never counts again.

    Partitioned by the time within the id itself: a corrected clock would differ on a retry.
    """

    __tablename__ = "seen"
    __table_args__ = {"postgresql_partition_by": "RANGE (id)"}  # noqa: RUF012

    organisation_id: Mapped[TenantKey]
    id: Mapped[UUID] = mapped_column(primary_key=True)


class SiteRollUp(Model):
    """A site's pageviews and visitors in one bucket.

    Visitors do not add up, so they are kept as a sketch that can be merged. `page_count` is how
    many pages the site's day has counted one by one.
    """

    __tablename__ = "site_roll_ups"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    grain: Mapped[Grain] = mapped_column(text_enum(Grain), primary_key=True)
    bucket_at: Mapped[datetime] = mapped_column(primary_key=True)
    pageview_count: Mapped[int] = mapped_column(BigInteger)
    page_count: Mapped[int] = mapped_column(BigInteger)
    visitors: Mapped[bytes] = mapped_column(LargeBinary)


class PageRollUp(Model):
    """A page's pageviews in one bucket."""

    __tablename__ = "page_roll_ups"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    grain: Mapped[Grain] = mapped_column(text_enum(Grain), primary_key=True)
    bucket_at: Mapped[datetime] = mapped_column(primary_key=True)
    page_id: Mapped[UUID] = mapped_column(primary_key=True)
    pageview_count: Mapped[int] = mapped_column(BigInteger)


class ReferrerRollUp(Model):
    """How many pageviews another website brought in one bucket; '' stands for none."""

    __tablename__ = "referrer_roll_ups"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    grain: Mapped[Grain] = mapped_column(text_enum(Grain), primary_key=True)
    bucket_at: Mapped[datetime] = mapped_column(primary_key=True)
    referrer: Mapped[str] = mapped_column(primary_key=True)
    pageview_count: Mapped[int] = mapped_column(BigInteger)


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


class RollUpZone(Model):
    """The time zone in which an organisation's days and months are cut so far."""

    __tablename__ = "roll_up_zones"

    organisation_id: Mapped[TenantKey]
    time_zone: Mapped[str]


class StreamPosition(Model):
    """The last entry of a stream that is counted; it moves in the transaction that counts."""

    __tablename__ = "stream_positions"

    organisation_id: Mapped[TenantKey]
    name: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[str]


class DeadBeacon(Model):
    """A beacon that was accepted and cannot be stored, kept as it came for whoever finds out why."""

    __tablename__ = "dead_beacons"

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]
