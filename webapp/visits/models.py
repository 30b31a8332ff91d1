"""Sites, their raw rows and what was not counted on them, and the words that tables and queries share."""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, ForeignKeyConstraint, LargeBinary, String, UniqueConstraint
from sqlalchemy import Identity as Numbered
from sqlalchemy.orm import Mapped, mapped_column

from webapp.extensions import Model
from webapp.lib.columns import CreatedAt, NewId, TenantKey, text_enum
from webapp.lib.zones import is_known_zone, zone_named
from webapp.visits.collecting.signatures import make_secret

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


class DropCount(Model):
    """How many of a site's beacons were not counted on one day (UTC), by reason."""

    __tablename__ = "drop_counts"

    organisation_id: Mapped[TenantKey]
    site_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(String(64), primary_key=True)
    drop_count: Mapped[int] = mapped_column(BigInteger)
