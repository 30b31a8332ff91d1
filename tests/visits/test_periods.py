"""Periods and what they are compared with: before, a year before, leap days, clock changes, and what is not over."""

from __future__ import annotations

import re
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.site_page.support import yesterday
from tests.visits.support import add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.visits.periods import Period, make_period

COMPARED = [
    # preset or dates, the period before it, the same days of the year before
    ("today", "2026-11-21 2026-11-21", "2025-11-22 2025-11-22"),
    ("yesterday", "2026-11-20 2026-11-20", "2025-11-21 2025-11-21"),
    ("7d", "2026-11-09 2026-11-15", "2025-11-16 2025-11-22"),
    ("30d", "2026-09-24 2026-10-23", "2025-10-24 2025-11-22"),
    ("90d", "2026-05-27 2026-08-24", "2025-08-25 2025-11-22"),
    ("12m", "2024-12-01 2025-11-22", "2024-12-01 2025-11-22"),
    ("2024-02-29 2024-02-29", "2024-02-28 2024-02-28", "2023-02-28 2023-02-28"),
    ("2024-02-01 2024-03-31", "2023-12-03 2024-01-31", "2023-02-01 2023-03-31"),
    ("2025-02-01 2025-03-31", "2024-12-04 2025-01-31", "2024-02-01 2024-03-31"),
    ("2024-02-23 2024-02-29", "2024-02-16 2024-02-22", "2023-02-23 2023-02-28"),
    ("2026-01-01 2026-01-31", "2025-12-01 2025-12-31", "2025-01-01 2025-01-31"),
    ("2025-12-30 2026-01-02", "2025-12-26 2025-12-29", "2024-12-30 2025-01-02"),
]
PASSED = [
    # zone, preset or dates, now, what the period before is counted from and to
    ("UTC", "today", "2026-11-22T10:07:00", "2026-11-21T00:00:00", "2026-11-21T10:15:00"),
    ("UTC", "today", "2026-11-22T10:15:00", "2026-11-21T00:00:00", "2026-11-21T10:15:00"),
    ("UTC", "today", "2026-11-22T00:00:00", "2026-11-21T00:00:00", "2026-11-21T00:00:00"),
    ("UTC", "7d", "2026-11-22T12:00:00", "2026-11-09T00:00:00", "2026-11-15T12:00:00"),
    ("UTC", "12m", "2026-11-22T12:00:00", "2024-12-01T00:00:00", "2025-11-22T12:00:00"),
    ("UTC", "yesterday", "2026-11-22T12:00:00", "2026-11-20T00:00:00", "2026-11-21T00:00:00"),
    ("UTC", "2026-11-01 2026-11-10", "2026-11-22T12:00:00", "2026-10-22T00:00:00", "2026-11-01T00:00:00"),
    ("UTC", "2027-01-01 2027-01-10", "2026-11-22T12:00:00", "2026-12-22T00:00:00", "2026-12-22T00:00:00"),
    ("Asia/Kathmandu", "today", "2026-11-22T20:00:00", "2026-11-21T18:15:00", "2026-11-21T20:00:00"),
    # in Berlin 25 October has 25 hours and 29 March 23: what has passed counts, no longer than the day before was
    ("Europe/Berlin", "today", "2026-10-25T22:30:00", "2026-10-23T22:00:00", "2026-10-24T22:00:00"),
    ("Europe/Berlin", "today", "2026-10-25T10:00:00", "2026-10-23T22:00:00", "2026-10-24T10:00:00"),
    ("Europe/Berlin", "today", "2026-10-26T11:00:00", "2026-10-24T22:00:00", "2026-10-25T10:00:00"),
    ("Europe/Berlin", "today", "2026-03-29T10:00:00", "2026-03-27T23:00:00", "2026-03-28T10:00:00"),
    ("Europe/Berlin", "today", "2026-03-30T21:30:00", "2026-03-28T23:00:00", "2026-03-29T22:00:00"),
    ("Europe/Berlin", "2026-10-19 2026-10-25", "2026-11-22T12:00:00", "2026-10-11T22:00:00", "2026-10-18T22:00:00"),
    ("Europe/Berlin", "2026-10-26 2026-11-01", "2026-11-22T12:00:00", "2026-10-18T22:00:00", "2026-10-25T23:00:00"),
    # on Lord Howe the clock goes back by half an hour on 5 April
    ("Australia/Lord_Howe", "yesterday", "2026-04-06T12:00:00", "2026-04-03T13:00:00", "2026-04-04T13:00:00"),
    ("Australia/Lord_Howe", "yesterday", "2026-04-07T00:00:00", "2026-04-04T13:00:00", "2026-04-05T13:30:00"),
]
LENGTHS = [
    ("Europe/Berlin", "2026-10-25", timedelta(hours=25)),
    ("Europe/Berlin", "2026-03-29", timedelta(hours=23)),
    ("America/New_York", "2026-11-01", timedelta(hours=25)),
    ("Australia/Lord_Howe", "2026-04-05", timedelta(hours=24.5)),
    ("Australia/Lord_Howe", "2026-10-04", timedelta(hours=23.5)),
    ("Asia/Kathmandu", "2026-10-25", timedelta(hours=24)),
]


def made(named: str, zone: str = "UTC", now: str = "2026-11-22T20:00:00") -> Period:
    """A preset, or two dates."""
    first, _, last = named.partition(" ")
    return make_period("custom" if last else first, ZoneInfo(zone), utc(now), first, last)


@pytest.mark.parametrize(("named", "before", "year_before"), COMPARED)
def test_a_period_is_compared_with_days_of_its_own_length_or_of_the_year_before(
    named: str, before: str, year_before: str
) -> None:
    period = made(named)
    assert [f"{one.first} {one.last}" for one in (period.previous(), period.year_before())] == [before, year_before]


@pytest.mark.parametrize(("zone", "named", "now", "start", "end"), PASSED)
def test_no_more_is_compared_than_has_passed(zone: str, named: str, now: str, start: str, end: str) -> None:
    assert made(named, zone, now).before(utc(now)) == (utc(start), utc(end))


@pytest.mark.parametrize(("zone", "day", "length"), LENGTHS)
def test_a_day_is_as_long_as_its_clock_makes_it(zone: str, day: str, length: timedelta) -> None:
    period = made(f"{day} {day}", zone)
    assert (period.end - period.start, period.day_count) == (length, 1)
    assert period.year_before().first == date.fromisoformat(day).replace(year=2025)


@pytest.mark.parametrize(
    ("compare", "change", "before"), [("previous", "up </span>50%", "2"), ("year", "down </span>50%", "6")]
)
def test_a_sites_page_tells_a_known_change(
    app: APIFlask, alice: Person, services: Settings, compare: str, change: str, before: str
) -> None:
    """Three visitors yesterday, two the day before, and six on the same day of the year before."""
    site = add_site(app, alice.organisation_id)
    day = yesterday()
    for at, count in ((day, 3), (day - timedelta(days=1), 2), (year_before(day.date()), 6)):
        moment = day.replace(year=at.year, month=at.month, day=at.day)
        add_rows(services, [make_row(site, moment, visitor=f"visitor-{number}") for number in range(count)])
    count_all(app, services)
    page = alice.client.get(f"/visits?range=yesterday&compare={compare}").text
    figure = re.search(r'id="metric-visitors".*?</a>', page, re.DOTALL)
    assert figure is not None
    assert re.search(rf"{change}</span>", figure[0])
    assert re.search(rf'title="[^"]*: {before}"', figure[0])


def year_before(day: date) -> date:
    return made(f"{day} {day}").year_before().first
