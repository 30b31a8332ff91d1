"""The nights in which clocks change, and a zone of 45 minutes: hours and days, out of roll-ups and out of raw rows.

Where a bucket begins is found here minute by minute by the zone's own clock, and by nothing of the product.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.conftest import add_organisation
from tests.visits.support import add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.visits import answers
from webapp.visits.backlog import Row
from webapp.visits.buckets import Aggregation, make_edges
from webapp.visits.questions import Figures, Question
from webapp.visits.raw import engine

NIGHTS = [
    ("Europe/Berlin", "2026-03-29T01:00:00", 23 * 60),
    ("Europe/Berlin", "2026-10-25T01:00:00", 25 * 60),
    ("America/New_York", "2026-03-08T07:00:00", 23 * 60),
    ("America/New_York", "2026-11-01T06:00:00", 25 * 60),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00", 24 * 60 + 30),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00", 23 * 60 + 30),
    ("Asia/Kathmandu", "2026-03-31T18:15:00", 24 * 60),
]
"""Zone, the moment (UTC) at which its clock changes, and how many minutes that day has."""
MINUTE = timedelta(minutes=1)
MOMENTS = 600


def walk(zone: ZoneInfo, start: datetime, end: datetime, aggregation: Aggregation) -> list[datetime]:
    """Where buckets begin: on the hour, or at midnight, and where an hour is cut short because the clock jumps."""
    pairs = [(at, at.astimezone(zone), (at - MINUTE).astimezone(zone)) for at in _minutes(start, end)]
    return [at for at, now, before in pairs if _begins(now, before, aggregation)]


def _minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start <= end:
        yield start
        start += MINUTE


def _begins(now: datetime, before: datetime, aggregation: Aggregation) -> bool:
    if aggregation is Aggregation.DAY:
        return now.date() != before.date()
    return now.hour != before.hour or now.minute < before.minute or now.utcoffset() != before.utcoffset()


def make_rows(app: APIFlask, zone: str, change: datetime) -> list[Row]:
    """At random from the day before to the day after, and once in each of the minutes around the change."""
    site = add_site(app, add_organisation(app, "clock", "Clock", zone), time_zone=zone)
    chance = random.Random(f"{zone} {change}")
    moments = [change + timedelta(seconds=chance.randrange(-36 * 3600, 36 * 3600)) for _ in range(MOMENTS)]
    moments += [change + minutes * MINUTE for minutes in range(-125, 125, 5)]
    return [make_row(site, at, visitor=f"visitor-{chance.randrange(20)}") for at in moments]


def plain_counts(rows: list[Row], edges: list[datetime]) -> list[tuple[int, int]]:
    """Pageviews and visitors of each bucket."""
    parts = [
        [row for row in rows if start.timestamp() * 1000 <= row.visited_ms < end.timestamp() * 1000]
        for start, end in pairwise(edges)
    ]
    return [(len(part), len({row.visitor for row in part})) for part in parts]


def told(points: list[Figures]) -> list[tuple[int, int]]:
    return [(point.pageview_count, point.visitor_count) for point in points]


@pytest.mark.parametrize(("name", "night", "length"), NIGHTS)
def test_the_day_is_as_long_as_its_clock_says(name: str, night: str, length: int) -> None:
    zone, change = ZoneInfo(name), utc(night)
    midnights = walk(zone, change - timedelta(hours=26), change + timedelta(hours=26), Aggregation.DAY)
    [of_change] = [(start, end) for start, end in pairwise(midnights) if start <= change < end]
    assert of_change[1] - of_change[0] == length * MINUTE
    assert make_edges(Aggregation.DAY, change, change + MINUTE, zone) == list(of_change)


@pytest.mark.parametrize("aggregation", [Aggregation.HOUR, Aggregation.DAY])
@pytest.mark.parametrize(("name", "night", "length"), NIGHTS)
def test_every_hour_and_day_counts_what_happened_in_it(
    app: APIFlask, services: Settings, name: str, night: str, length: int, aggregation: Aggregation
) -> None:
    zone, change = ZoneInfo(name), utc(night)
    rows = make_rows(app, name, change)
    add_rows(services, rows, group=50)
    count_all(app, services, batch=170)
    edges = walk(zone, change - timedelta(hours=30), change + timedelta(hours=30), aggregation)
    assert make_edges(aggregation, edges[0], edges[-1], zone) == edges
    organisation_id, site_id = UUID(bytes=rows[0].organisation_id), UUID(bytes=rows[0].site_id)
    question = Question(organisation_id, (site_id,), edges[0], edges[-1])
    expected = plain_counts(rows, edges)
    with app.app_context(), tenant(organisation_id):
        assert told(answers.points(question, edges)) == expected, "roll-ups"
        assert told(engine.points(question, edges)) == expected, "raw rows"
    if length > 24 * 60 and aggregation is Aggregation.HOUR:
        twice = [at for at in edges if abs(at - change) <= timedelta(hours=1)]
        assert len({at.astimezone(zone).hour for at in twice}) < len(twice), "one hour comes twice, each by itself"


def test_the_change_is_where_the_list_says() -> None:
    for name, night, length in NIGHTS:
        zone, change = ZoneInfo(name), utc(night)
        offsets = [at.astimezone(zone).utcoffset() for at in (change - MINUTE, change)]
        assert (offsets[0] != offsets[1]) == (length != 24 * 60), (name, night)
