"""From when to when a behaviour is looked for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from webapp.visits.behaviour.conditions import Behaviour
from webapp.visits.buckets import local_midnight
from webapp.visits.periods import FIRST_YEAR

BEGINNING = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Deed:
    """A behaviour that somebody showed between two moments; the second is out. `is_done` means nothing here."""

    behaviour: Behaviour
    start: datetime
    end: datetime

    @property
    def fingerprint(self) -> str:
        """What tells it from every other deed."""
        said = "|".join([self.behaviour.done.as_text(), self.start.isoformat(), self.end.isoformat()])
        return sha256(said.encode()).hexdigest()


def deed_of(behaviour: Behaviour, zone: ZoneInfo, moment: datetime, *, is_frozen: bool = False) -> Deed:
    """The deed as it is meant at a moment.

    Whole days of the zone, that of the moment among the last ones. One that is frozen ends with the moment; else
    it ends with the moment's day, so that all who ask within a day ask the same.
    """
    today = moment.astimezone(zone).date()
    until = moment if is_frozen else local_midnight(today + timedelta(days=1), zone)
    days = behaviour.days
    start, end = BEGINNING, until
    if days.last_days:
        start = local_midnight(today - timedelta(days=days.last_days - 1), zone)
    elif days.first and days.last:
        start = local_midnight(days.first, zone)
        end = min(until, local_midnight(days.last + timedelta(days=1), zone))
    return Deed(behaviour.done, start.astimezone(UTC), max(start, end).astimezone(UTC))
