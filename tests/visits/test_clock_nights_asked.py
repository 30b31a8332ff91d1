"""The nights in which clocks change, as people and programs ask for them: the page's points, both calls of the API.

Each beside the day before, with which the page compares it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.datastructures import MultiDict

from tests.visits.support import add_rows, count_all, utc
from tests.visits.test_api import make_key
from tests.visits.test_clock_nights import NIGHTS, make_rows, plain_counts, told, walk
from webapp.config import Settings
from webapp.extensions import db, tenant
from webapp.lib.clock import utc_now
from webapp.visits import answers
from webapp.visits.backlog import Row
from webapp.visits.buckets import Aggregation
from webapp.visits.models import Site
from webapp.visits.periods import utc_iso
from webapp.visits.site_page.choice import Choice, read_choice
from webapp.visits.site_page.figures import get_compared, list_buckets

FROM_RAW_ROWS = "device:is_not:none-such"
"""A filter that everything passes: roll-ups cannot answer it."""
nights = pytest.mark.parametrize(("name", "night"), [(name, night) for name, night, _ in NIGHTS])
sources = pytest.mark.parametrize("where", ["", FROM_RAW_ROWS], ids=["roll-ups", "raw rows"])


@dataclass(frozen=True)
class Night:
    """What happened around a change, and the day that holds it."""

    zone: ZoneInfo
    rows: Sequence[Row]
    day: date

    @property
    def organisation_id(self) -> UUID:
        return UUID(bytes=self.rows[0].organisation_id)

    @property
    def site_id(self) -> UUID:
        return UUID(bytes=self.rows[0].site_id)

    def hours(self, day: date) -> list[datetime]:
        """Where the day's hours begin, and its end, by the zone's own clock."""
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=self.zone).astimezone(UTC)
        edges = walk(self.zone, noon - timedelta(hours=15), noon + timedelta(hours=15), Aggregation.HOUR)
        own = [at for at in edges if at.astimezone(self.zone).date() == day]
        return [*own, next(at for at in edges if at > own[-1])]

    def counts(self, day: date) -> list[tuple[int, int]]:
        return plain_counts(list(self.rows), self.hours(day))


@pytest.fixture
def around(app: APIFlask, services: Settings, name: str, night: str) -> Night:
    zone, change = ZoneInfo(name), utc(night)
    rows = make_rows(app, name, change)
    add_rows(services, rows, group=50)
    count_all(app, services, batch=170)
    return Night(zone, rows, change.astimezone(zone).date())


@nights
@sources
def test_the_page_draws_every_hour_beside_that_of_the_day_before(app: APIFlask, around: Night, where: str) -> None:
    day = around.day.isoformat()
    with app.app_context(), tenant(around.organisation_id):
        site = db.session.get_one(Site, (around.organisation_id, around.site_id))
        asked = {"range": "custom", "from": day, "to": day, "where": where} if where else {
            "range": "custom", "from": day, "to": day}  # fmt: skip
        choice = read_choice(site, MultiDict(asked), utc_now())
        assert (choice.error, choice.aggregation) == ("", Aggregation.HOUR)
        compare(around, choice)


def compare(around: Night, choice: Choice) -> None:
    """The points, and at each the one of the day before that stands at its place."""
    before = around.day - timedelta(days=1)
    points = answers.points(choice.question(), choice.period.edges(choice.aggregation))
    compared = get_compared(choice, utc_now())
    buckets = list_buckets(choice, points, compared)
    assert compared is not None
    hours, hours_before = around.hours(around.day), around.hours(before)
    assert [bucket.starts_at for bucket in buckets] == hours[:-1]
    assert told(points) == around.counts(around.day)
    both = min(len(hours), len(hours_before)) - 1
    assert [bucket.compared_at for bucket in buckets[:both]] == hours_before[:both]
    assert told(compared.points) == around.counts(before)
    assert [bucket.compared for bucket in buckets[both:]] == [None] * (len(buckets) - both)
    assert compared.total.pageview_count == sum(count for count, _ in around.counts(before))


@nights
@sources
def test_programs_are_told_the_same_hours_and_days(
    app: APIFlask, client: FlaskClient, around: Night, where: str
) -> None:
    key = make_key(app, around.organisation_id)

    def ask(path: str, day: date, **more: str) -> Any:
        query = {"dateFrom": day.isoformat(), "dateTo": day.isoformat(), "timezone": around.zone.key, **more}
        answer = client.get(
            f"/api/v1/{path}", query_string={**query, **({"where": where} if where else {})}, headers=key
        )
        assert answer.status_code == 200, answer.text
        assert answer.json is not None
        return answer.json["data"]

    for day in (around.day, around.day - timedelta(days=1)):
        counts = around.counts(day)
        hours = Counter[str]()
        for buckets in ask("visits", day, aggregation="hour").values():
            hours.update({bucket["timeframe"]: bucket["visit_count"] for bucket in buckets})
        begun = [utc_iso(at) for at in around.hours(day)[:-1]]
        assert hours == {at: count for at, (count, _) in zip(begun, counts, strict=True) if count}
        series = ask("analytics/time-series", day, aggregation="hour")
        assert [(point["timeframe"], point["pageview_count"]) for point in series] == [
            (at, count) for at, (count, _) in zip(begun, counts, strict=True)
        ]
        lines = ask("analytics/breakdown", day, field="page")
        assert sum(line["pageview_count"] for line in lines) == sum(count for count, _ in counts)
