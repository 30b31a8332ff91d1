"""Sites, what was seen on them, and what is rolled up from it.

`seen` is partitioned by day; `footfall_make_partitions` makes its partitions.
"""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, BigInteger, ForeignKeyConstraint, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy import Identity as Numbered
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.lib.zones import is_known_zone, zone_named
from webapp.visits.collecting.signatures import make_secret
from webapp.visits.visitor_keys import KeyKind

DEFAULT_RATE_LIMIT = 1000
OTHER_PAGE_ID = UUID(int=0)
"""Stands for every page beyond the number that is counted one by one."""


class Grain(enum.Enum):
    """The width of a bucket.

    Quarters of an hour are cut in UTC: every time zone's hours and days are made of whole ones.
    Days and months are cut in the site's zone, so that a long range reads few rows.
    """

    QUARTER = "quarter"
    DAY = "day"
    MONTH = "month"


class RawKind(enum.Enum):
    """What a chunk of raw rows holds."""

    ACTIVITY = "activity"
    VISIT = "visit"


class Dimension(enum.Enum):
    """What else than pages is counted value by value."""

    REFERRER = "referrer"
    CHANNEL = "channel"
    UTM_SOURCE = "utm_source"
    UTM_MEDIUM = "utm_medium"
    UTM_CAMPAIGN = "utm_campaign"
    UTM_TERM = "utm_term"
    UTM_CONTENT = "utm_content"
    COUNTRY = "country"
    LANGUAGE = "language"
    DEVICE = "device"
    BROWSER = "browser"
    SYSTEM = "system"
    SCREEN = "screen"
    EVENT = "event"
    PROPERTY = "property"
    PRODUCT = "product"


class Site(Model):
    """A website that reports its visits, and how it wants them taken.

    `cut_zone` is the zone in which its days and months are counted so far: a changed `time_zone` waits for a rebuild.
    `retention_days` is how long raw rows are kept; without it, for ever. From `raw_complete_from` on there are all raw
    rows; before it retention has taken some, and without it none. Since `broken_at` a kept sketch cannot be read: a
    rebuild mends it. `revision` is raised whenever numbers change otherwise than by counting. `rate_limit` is in
    beacons a second. With `deleted_at` it is in no list and takes nothing, but may come back; from `erasing_at` on it
    does not any more.
    """

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
    time_zone: Mapped[str] = mapped_column(default="UTC")
    cut_zone: Mapped[str | None]
    retention_days: Mapped[int | None]
    raw_complete_from: Mapped[datetime | None]
    broken_at: Mapped[datetime | None]
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    query_keys: Mapped[list[Any]] = mapped_column(default=list)
    excluded_pages: Mapped[list[Any]] = mapped_column(default=list)
    excluded_addresses: Mapped[list[Any]] = mapped_column(default=list)
    excluded_countries: Mapped[list[Any]] = mapped_column(default=list)
    drops_bots: Mapped[bool] = mapped_column(default=True)
    respects_dnt: Mapped[bool] = mapped_column(default=False)
    is_cookieless: Mapped[bool] = mapped_column(default=False)
    counts_fragments: Mapped[bool] = mapped_column(default=False)
    identify_secret: Mapped[str] = mapped_column(default=make_secret)
    rate_limit: Mapped[int] = mapped_column(default=DEFAULT_RATE_LIMIT)
    deleted_at: Mapped[datetime | None]
    deleted_by: Mapped[UUID | None]
    erasing_at: Mapped[datetime | None]
    created_at: Mapped[CreatedAt]

    @property
    def zone(self) -> ZoneInfo:
        """In which it is shown: `time_zone`, or UTC where this machine lacks that one."""
        return zone_named(self.time_zone)

    @property
    def counted_zone(self) -> ZoneInfo:
        """In which its days and months are cut so far."""
        return zone_named(self.cut_zone or self.time_zone)

    @property
    def lacks_zone(self) -> bool:
        """Whether this machine does not know its time zone."""
        return not is_known_zone(self.time_zone)


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


class RawChunk(Model):
    """Raw rows of one site as they were counted, compressed together, until they are sealed."""

    __tablename__ = "raw_chunks"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[RawKind] = mapped_column(text_enum(RawKind), primary_key=True)
    chunk: Mapped[int] = mapped_column(BigInteger, Numbered(), primary_key=True)
    from_at: Mapped[datetime]
    to_at: Mapped[datetime]
    row_count: Mapped[int]
    content: Mapped[bytes] = mapped_column(LargeBinary)


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


class DropCount(Model):
    """How many of a site's beacons were not counted on one day (UTC), by reason."""

    __tablename__ = "drop_counts"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(String(64), primary_key=True)
    drop_count: Mapped[int] = mapped_column(BigInteger)


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
