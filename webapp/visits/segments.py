"""Of which rows of the roll-ups a range is made up. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from webapp.visits.buckets import local_midnight
from webapp.visits.models import Grain


@dataclass(frozen=True)
class Segment:
    """A stretch of time and the grain whose rows make it up."""

    grain: Grain
    start: datetime
    end: datetime


def segments(start: datetime, end: datetime, zone: ZoneInfo) -> list[Segment]:
    """A range as quarters, days, months, days, quarters: the fewest rows that make it up."""
    first_day, last_day = _next_day(start, zone), _day_before(end, zone)
    if first_day >= last_day:
        return _non_empty([Segment(Grain.QUARTER, start, end)])
    first_month, last_month = next_month(first_day, zone), _month_before(last_day, zone)
    if first_month >= last_month:
        first_month = last_month = last_day
    return _non_empty(
        [
            Segment(Grain.QUARTER, start, first_day),
            Segment(Grain.DAY, first_day, first_month),
            Segment(Grain.MONTH, first_month, last_month),
            Segment(Grain.DAY, last_month, last_day),
            Segment(Grain.QUARTER, last_day, end),
        ]
    )


def with_signs(parts: Sequence[Segment], zone: ZoneInfo, now: datetime) -> list[tuple[int, Segment]]:
    """What to add up, and what to take away again (-1): most days of a month are the month without its other days.

    For counts alone: of visitors nobody can be taken away.
    """
    return [signed for part in parts for signed in _signed(part, zone, now)]


def _signed(part: Segment, zone: ZoneInfo, now: datetime) -> list[tuple[int, Segment]]:
    begin, after = _month_before(part.start, zone), next_month(part.end, zone)
    is_within_month = next_month(begin + timedelta(days=1), zone) == after
    others = (part.start - begin) + max(min(after, now) - part.end, timedelta())
    if part.grain is not Grain.DAY or not is_within_month or others >= part.end - part.start:
        return [(1, part)]
    rest = _non_empty([Segment(Grain.DAY, begin, part.start), Segment(Grain.DAY, part.end, after)])
    return [(1, Segment(Grain.MONTH, begin, after)), *((-1, other) for other in rest)]


def _non_empty(parts: list[Segment]) -> list[Segment]:
    return [part for part in parts if part.start < part.end]


def _next_day(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first midnight at or after this moment."""
    midnight = _day_before(moment, zone)
    day = midnight.astimezone(zone).date()
    return midnight if midnight == moment else local_midnight(day + timedelta(days=1), zone)


def _day_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """The last midnight at or before this moment."""
    return local_midnight(moment.astimezone(zone).date(), zone)


def next_month(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first beginning of a month at or after this moment."""
    begin = _month_before(moment, zone)
    day = begin.astimezone(zone).date()
    return begin if begin == moment else local_midnight((day + timedelta(days=31)).replace(day=1), zone)


def _month_before(moment: datetime, zone: ZoneInfo) -> datetime:
    """The last beginning of a month at or before this moment."""
    return local_midnight(moment.astimezone(zone).date().replace(day=1), zone)
