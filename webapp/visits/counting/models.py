"""What is counted: ids, visits, roll-ups, and how far it is.

`seen` is partitioned by day; `footfall_make_partitions` makes its partitions.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, LargeBinary, Text
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.visits.models import Dimension, Grain


class Page(Model):
    """The address of a page that was seen; its id is made from the address."""

    __tablename__ = "pages"

    organisation_id: Mapped[TenantKey]
    id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]


class SeenIds(Model):
    """Ids of beacons that were counted in one batch, all made in one second, so that none counts again.

    Partitioned by the time within the ids: a corrected clock would differ on a retry. `part` is the batch's; without
    `ids` it is an id by itself, in a second of which there are very many, with 255 for its first byte.
    """

    __tablename__ = "seen"
    __table_args__ = {"postgresql_partition_by": "RANGE (second)"}  # noqa: RUF012

    organisation_id: Mapped[TenantKey]
    second: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    part: Mapped[UUID] = mapped_column(primary_key=True)
    ids: Mapped[bytes] = mapped_column(LargeBinary)


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
    visit_count: Mapped[int] = mapped_column(BigInteger, default=0)
    bounce_count: Mapped[int] = mapped_column(BigInteger, default=0)
    visit_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    event_count: Mapped[int] = mapped_column(BigInteger, default=0)
    engaged_ms: Mapped[int] = mapped_column(BigInteger, default=0)
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
    entry_count: Mapped[int] = mapped_column(BigInteger, default=0)
    exit_count: Mapped[int] = mapped_column(BigInteger, default=0)
    bounce_count: Mapped[int] = mapped_column(BigInteger, default=0)
    engaged_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    scroll_sum: Mapped[int] = mapped_column(BigInteger, default=0)
    scroll_count: Mapped[int] = mapped_column(BigInteger, default=0)


class DimensionRollUp(Model):
    """What one value of a dimension (a country, a referrer, an event's name) counts in one bucket.

    Buckets are days and months of the site's zone. Visitors are kept where they are asked for: events and products.
    """

    __tablename__ = "dimension_roll_ups"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    dimension: Mapped[Dimension] = mapped_column(text_enum(Dimension), primary_key=True)
    grain: Mapped[Grain] = mapped_column(text_enum(Grain), primary_key=True)
    bucket_at: Mapped[datetime] = mapped_column(primary_key=True)
    value: Mapped[str] = mapped_column(primary_key=True)
    pageview_count: Mapped[int] = mapped_column(BigInteger)
    visit_count: Mapped[int] = mapped_column(BigInteger)
    bounce_count: Mapped[int] = mapped_column(BigInteger)
    visit_ms: Mapped[int] = mapped_column(BigInteger)
    event_count: Mapped[int] = mapped_column(BigInteger)
    visitors: Mapped[bytes | None] = mapped_column(LargeBinary)


class Visit(Model):
    """One visitor's activity on a site until 30 minutes idle; kept for as long as a late beacon may change it.

    `visitor` and `visit` are the numbers that raw rows carry; `attributes` are those of the visit's entry.
    `started_at` and `last_at` span all activity. The visit counts from its entry, the first pageview, custom event
    or product view: engagement alone, without any of the three counts, is none, but may belong to one that is still
    on its way. It is kept for some days after `changed_at`, when it was last written: the visit itself may be older.
    """

    __tablename__ = "visits"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    visitor: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    started_at: Mapped[datetime] = mapped_column(primary_key=True)
    last_at: Mapped[datetime]
    entry_at: Mapped[datetime]
    exit_at: Mapped[datetime]
    visit: Mapped[int] = mapped_column(BigInteger)
    pageview_count: Mapped[int]
    event_count: Mapped[int]
    product_count: Mapped[int]
    entry_page: Mapped[str]
    exit_page: Mapped[str]
    attributes: Mapped[str]
    changed_at: Mapped[datetime]


class SiteCheck(Model):
    """How the last check of what is counted of a site ended; a rebuild leaves nothing of its differences.

    `differences` are sentences, the first of `difference_count`.
    """

    __tablename__ = "site_checks"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    checked_at: Mapped[datetime]
    difference_count: Mapped[int] = mapped_column(BigInteger)
    differences: Mapped[list[Any]]


class StreamPosition(Model):
    """The last entry of a stream that is counted; it moves in the transaction that counts."""

    __tablename__ = "stream_positions"

    organisation_id: Mapped[TenantKey]
    name: Mapped[str] = mapped_column(primary_key=True)
    last_id: Mapped[str]


class DeadBeacon(Model):
    """A beacon that was accepted and cannot be stored, kept for a while as it came, to be counted again.

    `visitor` is the number of the site's visitor, and `keys` are the folded names that it tells: by them it goes with
    its site and with its people. A group of beacons that nobody can read is the system's own and has none of them.
    """

    __tablename__ = "dead_beacons"

    organisation_id: Mapped[TenantKey]
    id: Mapped[NewId]
    site_id: Mapped[UUID | None]
    visitor: Mapped[int | None] = mapped_column(BigInteger)
    keys: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    content: Mapped[bytes] = mapped_column(LargeBinary)
    reason: Mapped[str]
    created_at: Mapped[CreatedAt]
