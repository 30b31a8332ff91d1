"""Time in buckets: any zone, both hours of a clock change, and every grain agreeing with the raw rows."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.conftest import Person, add_organisation
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.visits import answers
from webapp.visits.buckets import Aggregation, TooManyBucketsError, day_of, local_midnight, make_edges, month_of
from webapp.visits.models import Grain
from webapp.visits.periods import BadPeriodError, make_period
from webapp.visits.questions import Question
from webapp.visits.segments import Segment, segments, with_signs

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana"]
NIGHTS = {
    "Europe/Berlin": [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)],
    "America/New_York": [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25)],
    "Australia/Lord_Howe": [(date(2026, 4, 5), 25), (date(2026, 10, 4), 24)],
    "Asia/Kathmandu": [(date(2026, 3, 29), 24)],
    "America/Havana": [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25)],
}


@pytest.mark.parametrize("zone", NIGHTS)
def test_a_day_has_as_many_hours_as_its_clock_shows(zone: str) -> None:
    place = ZoneInfo(zone)
    for day, hours in NIGHTS[zone]:
        start, end = local_midnight(day, place), local_midnight(day + timedelta(days=1), place)
        edges = make_edges(Aggregation.HOUR, start, end, place)
        assert (edges[0], edges[-1], len(edges) - 1) == (start, end, hours)
        assert all(timedelta(minutes=30) <= later - earlier <= timedelta(hours=1) for earlier, later in pairwise(edges))


def test_hours_of_a_zone_at_three_quarters_begin_there() -> None:
    edges = make_edges(
        Aggregation.HOUR, utc("2026-06-01T10:20:00"), utc("2026-06-01T12:00:00"), ZoneInfo("Asia/Kathmandu")
    )
    assert edges == [utc(f"2026-06-01T{text}:00") for text in ("10:15", "11:15", "12:15")]


@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_lies_in_one_day_and_one_month(zone: str) -> None:
    """The edges of days and months, stepped along the calendar, are where single moments are cut to."""
    place = ZoneInfo(zone)
    start, end = utc("2026-01-01T12:00:00"), utc("2027-01-02T12:00:00")
    days = make_edges(Aggregation.DAY, start, end, place)
    months = make_edges(Aggregation.MONTH, start, end, place)
    moments = random.Random(zone)
    for _ in range(500):
        moment = start + timedelta(seconds=moments.randrange(365 * 86_400))
        milliseconds = int(moment.timestamp() * 1000)
        assert datetime.fromtimestamp(day_of(zone, milliseconds) / 1000, UTC) == max(d for d in days if d <= moment)
        assert datetime.fromtimestamp(month_of(zone, milliseconds) / 1000, UTC) == max(m for m in months if m <= moment)


def test_a_range_is_read_from_the_widest_rows_that_fit() -> None:
    place = ZoneInfo("Europe/Berlin")
    parts = segments(utc("2026-01-29T10:15:00"), utc("2026-04-02T11:30:00"), place)
    assert [part.grain for part in parts] == [Grain.QUARTER, Grain.DAY, Grain.MONTH, Grain.DAY, Grain.QUARTER]
    assert all(earlier.end == later.start for earlier, later in pairwise(parts))
    assert (parts[2].start, parts[2].end) == (utc("2026-01-31T23:00:00"), utc("2026-03-31T22:00:00"))
    (day,) = segments(utc("2026-01-28T23:00:00"), utc("2026-01-29T23:00:00"), place)
    assert day.grain is Grain.DAY
    (hours,) = segments(utc("2026-01-29T10:15:00"), utc("2026-01-29T12:00:00"), place)
    assert hours.grain is Grain.QUARTER


@pytest.mark.parametrize("zone", ZONES)
def test_most_days_of_a_month_are_the_month_without_its_others(zone: str) -> None:
    """Every day of the range is counted once in all, whatever is taken away, and at most half a month is read."""
    place, days = ZoneInfo(zone), random.Random(zone)
    months = make_edges(Aggregation.MONTH, utc("2025-12-20T00:00:00"), utc("2027-02-10T00:00:00"), place)
    now = local_midnight(date(2026, 12, 24), place) + timedelta(hours=9)
    for _ in range(200):
        start = date(2026, 1, 1) + timedelta(days=days.randrange(350))
        end = min(start + timedelta(days=1 + days.randrange(200)), date(2026, 12, 25))
        asked = local_midnight(start, place), local_midnight(end, place)
        counted = Counter[datetime]()
        for sign, part in with_signs(segments(*asked, place), place, now):
            inside = [day for day in _days_of(part, place) if day <= now]
            assert part.grain is Grain.MONTH or len(inside) <= 16 or sign == 1
            assert part.grain is Grain.DAY or {part.start, part.end} <= set(months)
            counted.update(dict.fromkeys(inside, sign))
        assert {day for day, times in counted.items() if times} == set(_days_of(Segment(Grain.DAY, *asked), place))
        assert set(counted.values()) <= {0, 1}


def test_a_month_up_to_yesterday_is_the_month_without_today() -> None:
    place, now = ZoneInfo("UTC"), utc("2026-11-24T09:00:00")
    november, yesterday = utc("2026-11-01T00:00:00"), utc("2026-11-24T00:00:00")
    assert with_signs(segments(november, yesterday, place), place, now) == [
        (1, Segment(Grain.MONTH, november, utc("2026-12-01T00:00:00"))),
        (-1, Segment(Grain.DAY, yesterday, utc("2026-12-01T00:00:00"))),
    ]


def _days_of(part: Segment, zone: ZoneInfo) -> list[datetime]:
    return make_edges(Aggregation.DAY, part.start, part.end, zone)[:-1]


@pytest.mark.parametrize(
    ("aggregation", "days"),
    [(Aggregation.MINUTE, 2), (Aggregation.HOUR, 40), (Aggregation.DAY, 500), (Aggregation.MONTH, 4000)],
)
def test_too_many_buckets_are_refused_with_the_limit(aggregation: Aggregation, days: int) -> None:
    start = utc("2020-01-01T00:00:00")
    with pytest.raises(TooManyBucketsError, match="more than"):
        make_edges(aggregation, start, start + timedelta(days=days), ZoneInfo("UTC"))


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_all_grains_agree_with_the_raw_rows(app: APIFlask, services: Settings, zone: str) -> None:
    organisation_id = add_organisation(app, "zones", "Zones", zone)
    site = add_site(app, organisation_id, time_zone=zone)
    choices, place = random.Random(zone), ZoneInfo(zone)
    first = NIGHTS[zone][-1][0] - timedelta(days=1)
    start, end = local_midnight(first, place), local_midnight(first + timedelta(days=3), place)
    span = int((end - start).total_seconds())
    rows = [
        make_row(
            site,
            start + timedelta(seconds=choices.randrange(span)),
            visitor=f"visitor-{choices.randrange(40)}",
            page_url=f"{ORIGIN}/{choices.randrange(3)}",
        )
        for _ in range(1500)
    ]
    add_rows(services, rows, group=100)
    count_all(app, services, batch=400)
    with app.app_context(), tenant(organisation_id):
        for aggregation in (Aggregation.HOUR, Aggregation.DAY, Aggregation.MONTH):
            edges = make_edges(aggregation, start, end, place)
            question = Question(organisation_id, (site.id,), edges[0], edges[-1])
            points = answers.points(question, edges)
            assert len(points) == len(edges) - 1
            for (starts_at, ends_at), point in zip(pairwise(edges), points, strict=True):
                inside = [r for r in rows if starts_at.timestamp() * 1000 <= r.visited_ms < ends_at.timestamp() * 1000]
                assert point.pageview_count == len(inside)
                assert point.visitor_count == len({row.visitor for row in inside})
            pages = answers.page_points(question, edges, 10_000)
            assert {page: sum(count for _, count in found) for page, found in pages.items()} == Counter(
                row.page_url for row in rows
            )
        totals = answers.totals(Question(organisation_id, (site.id,), start, end))
        assert (totals.pageview_count, totals.visitor_count, totals.is_estimate) == (1500, 40, False)
        day = make_edges(Aggregation.MINUTE, start, local_midnight(first + timedelta(days=1), place), place)
        question = Question(organisation_id, (site.id,), day[0], day[-1])
        minutes, days = answers.points(question, day), answers.points(question, [day[0], day[-1]])
        assert sum(point.pageview_count for point in minutes) == days[0].pageview_count


def test_both_hours_of_a_clock_change_have_their_own_bucket(app: APIFlask, services: Settings) -> None:
    organisation_id = add_organisation(app, "berlin", "Berlin", "Europe/Berlin")
    site = add_site(app, organisation_id, time_zone="Europe/Berlin")
    summer, winter = utc("2026-10-25T00:30:00"), utc("2026-10-25T01:30:00")  # 02:30 by the clock, twice
    add_rows(services, [make_row(site, summer), make_row(site, winter), make_row(site, winter)])
    count_all(app, services)
    with app.app_context(), tenant(organisation_id):
        place = ZoneInfo("Europe/Berlin")
        edges = make_edges(Aggregation.HOUR, summer, winter + timedelta(minutes=30), place)
        points = answers.points(Question(organisation_id, (site.id,), edges[0], edges[-1]), edges)
    assert [point.pageview_count for point in points] == [1, 2]
    assert [f"{edge.astimezone(place):%H:%M %Z}" for edge in edges[:-1]] == ["02:00 CEST", "02:00 CET"]


def test_many_visitors_are_an_estimate_and_close(app: APIFlask, services: Settings) -> None:
    organisation_id = add_organisation(app, "many", "Many")
    site = add_site(app, organisation_id)
    start = utc("2026-11-01T00:00:00")
    rows = [
        make_row(site, start + timedelta(minutes=number % 5000), visitor=f"v{number % 6000}") for number in range(9000)
    ]
    add_rows(services, rows, group=500)
    count_all(app, services, batch=2000)
    with app.app_context(), tenant(organisation_id):
        totals = answers.totals(Question(organisation_id, (site.id,), start, start + timedelta(days=30)))
    assert totals.is_estimate
    assert totals.visitor_count == pytest.approx(6000, rel=0.05)


def test_a_changed_time_zone_is_right_before_its_days_are_cut(app: APIFlask, alice: Person, services: Settings) -> None:
    site = add_site(app, alice.organisation_id)
    add_rows(services, [make_row(site, utc("2026-03-01T18:00:00")), make_row(site, utc("2026-03-01T18:20:00"))])
    count_all(app, services)
    place = ZoneInfo("Asia/Kathmandu")
    with app.app_context(), tenant(alice.organisation_id):
        edges = make_edges(Aggregation.DAY, utc("2026-03-01T17:00:00"), utc("2026-03-01T19:00:00"), place)
        question = Question(alice.organisation_id, (site.id,), edges[0], edges[-1])
        points = answers.points(question, edges)
        totals = answers.totals(replace(question, start=edges[1]))
    assert [point.pageview_count for point in points] == [1, 1]
    assert totals.pageview_count == 1


def test_presets_are_whole_days_of_the_zone() -> None:
    now, place = utc("2026-11-22T20:00:00"), ZoneInfo("Asia/Kathmandu")  # already the 23rd there
    firsts = {preset: make_period(preset, place, now).first for preset in ("today", "yesterday", "7d", "30d", "12m")}
    assert firsts == {
        "today": date(2026, 11, 23),
        "yesterday": date(2026, 11, 22),
        "7d": date(2026, 11, 17),
        "30d": date(2026, 10, 25),
        "12m": date(2025, 12, 1),
    }
    today = make_period("today", place, now)
    assert today.before(now) == (utc("2026-11-21T18:15:00"), utc("2026-11-21T20:00:00"))


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("", ""),
        ("2026-02-30", "2026-03-01"),
        ("2026-03-02", "2026-03-01"),
        ("1900-01-01", "2026-01-01"),
        ("8999-12-01", "9000-01-01"),
    ],
)
def test_dates_that_are_no_range_are_explained(first: str, last: str) -> None:
    with pytest.raises(BadPeriodError):
        make_period("custom", ZoneInfo("UTC"), utc("2026-11-22T20:00:00"), first, last)
