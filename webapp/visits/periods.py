"""The ranges of dates that a person chooses on the visits page. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from webapp.visits.buckets import BUCKET_LIMITS, Aggregation, local_midnight, make_edges

DEFAULT_PRESET = "30d"
CUSTOM = "custom"
QUARTER = timedelta(minutes=15)
TWELVE_MONTHS = "12m"
MOST_DAYS = 3653
FIRST_YEAR, LAST_YEAR = 1971, 8999
"""Far enough from both ends of the calendar that stepping from bucket to bucket stays inside it."""
DAYS_BACK = {"today": 0, "yesterday": 1, "7d": 6, "30d": 29, "90d": 89}
PRESETS = {
    "today": "Today",
    "yesterday": "Yesterday",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    TWELVE_MONTHS: "12 months",
}


class BadPeriodError(ValueError):
    """These dates are no range; the message says what to choose."""


@dataclass(frozen=True)
class Period:
    """Whole days of a time zone, first and last included."""

    preset: str
    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return local_midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """The moment at which the last day is over."""
        return local_midnight(self.last + timedelta(days=1), self.zone)

    @property
    def day_count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def label(self) -> str:
        if self.first == self.last:
            return _spell(self.first, with_year=True)
        return (
            f"{_spell(self.first, with_year=self.first.year != self.last.year)} – {_spell(self.last, with_year=True)}"
        )

    def before(self, now: datetime) -> tuple[datetime, datetime]:
        """The same length of time just before; no more of it than has passed of this period."""
        previous = self.previous()
        return previous.start, previous.end_when(self, now)

    def previous(self) -> Period:
        """The period of the same length just before; of twelve months, the twelve months before."""
        if self.preset == TWELVE_MONTHS:
            return self.year_before()
        length = timedelta(days=self.day_count)
        return Period(CUSTOM, self.first - length, self.last - length, self.zone)

    def year_before(self) -> Period:
        """The same days of the year before."""
        return Period(CUSTOM, _year_back(self.first), _year_back(self.last), self.zone)

    def end_when(self, other: Period, now: datetime) -> datetime:
        """Until when to count this period, to the quarter, to compare it with one of which only a part has passed."""
        if now >= other.end:
            return self.end
        passed = -(-max(timedelta(), now - other.start) // QUARTER) * QUARTER
        return min(self.end, self.start + passed)

    def aggregations(self) -> list[Aggregation]:
        """Widths of buckets that make a readable chart of this period, the usual one first."""
        usual = (
            Aggregation.HOUR if self.day_count <= 2 else Aggregation.DAY if self.day_count <= 92 else Aggregation.MONTH
        )
        fitting = [aggregation for aggregation in Aggregation if self._fits(aggregation)]
        return [usual, *(aggregation for aggregation in fitting if aggregation is not usual)]

    def edges(self, aggregation: Aggregation) -> list[datetime]:
        """Starts of all buckets and the end of the last."""
        return make_edges(aggregation, self.start, self.end, self.zone)

    def _fits(self, aggregation: Aggregation) -> bool:
        """Whether the buckets make a chart; every address of the page asks this, so they are counted, not cut."""
        if aggregation is Aggregation.MONTH:
            months = (self.last.year - self.first.year) * 12 + self.last.month - self.first.month + 1
            return 1 < months <= BUCKET_LIMITS[aggregation]
        if aggregation is Aggregation.DAY:
            return 1 < self.day_count <= BUCKET_LIMITS[aggregation]
        width = timedelta(hours=1) if aggregation is Aggregation.HOUR else timedelta(minutes=1)
        return -(-(self.end - self.start) // width) <= BUCKET_LIMITS[aggregation]


def make_period(preset: str, zone: ZoneInfo, now: datetime, first: str = "", last: str = "") -> Period:
    """The period that a preset or two dates name; raises BadPeriodError."""
    today = now.astimezone(zone).date()
    if preset == CUSTOM:
        return _custom_period(zone, today, first, last)
    if preset == TWELVE_MONTHS:
        return Period(preset, _months_back(today.replace(day=1), 11), today, zone)
    if preset == "yesterday":
        return Period(preset, today - timedelta(days=1), today - timedelta(days=1), zone)
    if preset not in DAYS_BACK:
        raise BadPeriodError("There is no such range. Choose one of those shown.")
    return Period(preset, today - timedelta(days=DAYS_BACK[preset]), today, zone)


def _custom_period(zone: ZoneInfo, today: date, first: str, last: str) -> Period:
    try:
        period = Period(CUSTOM, date.fromisoformat(first), date.fromisoformat(last), zone)
    except ValueError as error:
        raise BadPeriodError("Give both dates, as in 2026-01-31.") from error
    if period.first > period.last:
        raise BadPeriodError("The first day must not come after the last.")
    if period.day_count > MOST_DAYS:
        raise BadPeriodError("A range may be at most ten years long.")
    if not (is_possible(period.first) and is_possible(period.last)):
        raise BadPeriodError(f"Choose dates in the years {FIRST_YEAR} to {LAST_YEAR}.")
    return period


def is_possible(day: date) -> bool:
    """Whether this day (or moment) lies in the years that can be asked for."""
    return FIRST_YEAR <= day.year <= LAST_YEAR


def _months_back(first_of_month: date, count: int) -> date:
    for _ in range(count):
        first_of_month = (first_of_month - timedelta(days=1)).replace(day=1)
    return first_of_month


def _year_back(day: date) -> date:
    """The same day a year before; of 29 February, the day before."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


def _spell(day: date, *, with_year: bool) -> str:
    return f"{day.day} {day:%b %Y}" if with_year else f"{day.day} {day:%b}"


def utc_iso(moment: datetime) -> str:
    """2026-01-31T12:00:00Z"""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
