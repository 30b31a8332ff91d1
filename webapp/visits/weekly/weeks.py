"""The weeks of reports: Monday to Sunday in the site's zone, and when their mail is due. Pure functions."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from webapp.visits.periods import CUSTOM, Period

MORNING = time(6)
LATE = timedelta(days=2)
"""What could not be sent for so long, since everything stood still, is left out: it is in the app."""


def week_of(monday: date, zone: ZoneInfo) -> Period:
    """The week that begins on this Monday."""
    return Period(CUSTOM, monday, monday + timedelta(days=6), zone)


def last_monday(zone: ZoneInfo, now: datetime) -> date:
    """The Monday of the last week that is over."""
    today = now.astimezone(zone).date()
    return today - timedelta(days=today.weekday() + 7)


def due_monday(zone: ZoneInfo, now: datetime) -> date | None:
    """The week whose mail is to be sent now: that which ended last, from Monday morning on for two days."""
    monday = last_monday(zone, now)
    return monday if timedelta() <= now - due_at(monday, zone) < LATE else None


def due_at(monday: date, zone: ZoneInfo) -> datetime:
    """When a week's mail is due: the morning after its Sunday."""
    return datetime.combine(monday + timedelta(days=7), MORNING, zone)


def list_mondays(zone: ZoneInfo, now: datetime, since: date, most: int) -> list[date]:
    """The weeks that are over, the last first, as far back as there was something."""
    last = last_monday(zone, now)
    first = since - timedelta(days=since.weekday())
    count = max(0, (last - first).days // 7 + 1)
    return [last - timedelta(weeks=week) for week in range(min(most, count))]
