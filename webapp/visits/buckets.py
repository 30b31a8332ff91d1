"""Cutting time into buckets: quarters in UTC, everything wider in a time zone. Pure functions.

Hours, days and months are found by stepping along the zone's own clock, so both hours of a clock
change, a day of 25 hours, and zones of 45 or 30 minutes come out right.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

QUARTER_MS = 15 * 60 * 1000
CACHED_CUTS = 100_000
"""A year has 35,040 quarters; a few zones are enough to remember."""


class Aggregation(enum.Enum):
    """How wide the buckets of an answer are."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def order(self) -> int:
        """From narrow to wide."""
        return list(Aggregation).index(self)


BUCKET_LIMITS = {
    Aggregation.MINUTE: 25 * 60,
    Aggregation.HOUR: 31 * 24 + 1,
    Aggregation.DAY: 400,
    Aggregation.MONTH: 120,
}
"""The most buckets of one answer; minutes reach over one day, even one of 25 hours."""


class TooManyBucketsError(ValueError):
    """The range does not fit into an answer of this aggregation."""


@lru_cache(CACHED_CUTS)
def day_of(zone: str, milliseconds: int) -> int:
    """The start of the zone's day that holds this moment."""
    local = datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone))
    return int(local_midnight(local.date(), ZoneInfo(zone)).timestamp()) * 1000


@lru_cache(CACHED_CUTS)
def month_of(zone: str, milliseconds: int) -> int:
    """The start of the zone's month that holds this moment."""
    local = datetime.fromtimestamp(milliseconds / 1000, ZoneInfo(zone))
    return int(local_midnight(local.date().replace(day=1), ZoneInfo(zone)).timestamp()) * 1000


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, in UTC: the moment of the change where a clock change leaves out midnight."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def make_edges(aggregation: Aggregation, start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The starts of all buckets that touch [start, end), and the end of the last; raises TooManyBucketsError."""
    limit = BUCKET_LIMITS[aggregation]
    edges: list[datetime] = []
    for edge in _edges_from(aggregation, start, zone):
        edges.append(edge)
        if edge >= end:
            return edges
        if len(edges) > limit:
            raise TooManyBucketsError(
                f"This range has more than {limit:,} buckets of one {aggregation.value}. "
                "Ask for a shorter range or wider buckets."
            )
    return edges


def _edges_from(aggregation: Aggregation, start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    steps: dict[Aggregation, Callable[[datetime, ZoneInfo], Iterator[datetime]]] = {
        Aggregation.MINUTE: _minutes,
        Aggregation.HOUR: _hours,
        Aggregation.DAY: _days,
        Aggregation.MONTH: _months,
    }
    return steps[aggregation](start, zone)


def _minutes(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    edge = start.astimezone(UTC).replace(second=0, microsecond=0)
    while True:
        yield edge
        edge += timedelta(minutes=1)


def _hours(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Full hours by the zone's clock; where it jumps by half an hour, the hour there is a short one."""
    edge = day_start(start, zone)
    following = _next_hour(edge, zone)
    while following <= start:
        edge, following = following, _next_hour(following, zone)
    while True:
        yield edge
        edge = _next_hour(edge, zone)


def _next_hour(edge: datetime, zone: ZoneInfo) -> datetime:
    return edge + timedelta(minutes=60 - edge.astimezone(zone).minute)


def _days(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    day = start.astimezone(zone).date()
    while True:
        yield local_midnight(day, zone)
        day += timedelta(days=1)


def _months(start: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    first = start.astimezone(zone).date().replace(day=1)
    while True:
        yield local_midnight(first, zone)
        first = (first + timedelta(days=31)).replace(day=1)


def day_start(moment: datetime, zone: ZoneInfo) -> datetime:
    """When the zone's day that holds this moment began, in UTC."""
    return local_midnight(moment.astimezone(zone).date(), zone)
