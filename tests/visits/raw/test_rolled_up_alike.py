"""Roll-ups and raw rows say the same of every field, so that a filter changes numbers by what it filters alone."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from apiflask import APIFlask

from tests.conftest import Person
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.visits import rolled_up
from webapp.visits.backlog import Kind, Row
from webapp.visits.models import Site
from webapp.visits.page_points import list_page_points
from webapp.visits.questions import FIELDS, Question
from webapp.visits.raw import engine

START = utc("2026-11-18T00:00:00")
DAYS = 3
KINDS = (Kind.PAGEVIEW, Kind.PAGEVIEW, Kind.EVENT, Kind.ENGAGEMENT, Kind.PRODUCT)


@pytest.fixture
def asked(app: APIFlask, alice: Person, services: Settings) -> Question:
    """A few days of visitors who come often, their beacons in no order, so that visits change and are joined."""
    site = add_site(app, alice.organisation_id)
    add_rows(services, _make_rows(site))
    count_all(app, services, batch=70)
    return Question(alice.organisation_id, (site.id,), START, START + timedelta(days=DAYS))


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_has_the_same_values_and_figures(app: APIFlask, asked: Question, field: str) -> None:
    with app.app_context(), tenant(asked.organisation_id):
        kept = {value.value: value.figures for value in rolled_up.breakdown(asked, field, 1_000)}
        raw = {value.value: value.figures for value in engine.breakdown(asked, field, 1_000)}
    assert kept == raw
    assert len(kept) > 1


def test_pages_of_most_of_a_month_are_those_of_its_days(app: APIFlask, alice: Person, services: Settings) -> None:
    """Whether the range leaves the month's beginning, its end, or both."""
    site, chance = add_site(app, alice.organisation_id), random.Random(9)
    begin = utc("2026-09-25T00:00:00")
    days = [begin + timedelta(days=day) for day in range(60)]
    add_rows(services, [_make_row(site, chance, chance.choice(days)) for _ in range(400)])
    count_all(app, services)
    with app.app_context(), tenant(site.organisation_id):
        for first, last in [(6, 35), (6, 33), (10, 37), (9, 34), (2, 58), (40, 60), (25, 30)]:
            asked = Question(site.organisation_id, (site.id,), days[first], days[last - 1] + timedelta(days=1))
            for field in ("page", "entry_page", "exit_page"):
                kept = {value.value: value.figures for value in rolled_up.breakdown(asked, field, 1_000)}
                raw = {value.value: value.figures for value in engine.breakdown(asked, field, 1_000)}
                assert kept == raw, (first, last, field)
                assert kept


def test_ranges_and_buckets_have_the_same_figures(app: APIFlask, asked: Question) -> None:
    edges = [START + timedelta(hours=3 * step) for step in range(8 * DAYS + 1)]
    with app.app_context(), tenant(asked.organisation_id):
        assert rolled_up.totals(asked) == engine.totals(asked)
        assert rolled_up.points(asked, edges) == engine.points(asked, edges)
        for start, end in pairwise(edges[:5]):
            part = replace(asked, start=start, end=end)
            assert rolled_up.totals(part) == engine.totals(part)
        days = edges[::8]
        assert list_page_points(asked, days, 1_000) == engine.page_points(asked, days, 1_000)


def _make_rows(site: Site) -> list[Row]:
    chance = random.Random(5)
    return [_make_row(site, chance) for _ in range(600)]


def _make_row(site: Site, chance: random.Random, day: datetime | None = None) -> Row:
    kind = chance.choice(KINDS)
    props = chance.choice(["", '{"plan":"pro"}', '{"plan":"free","seats":"3"}']) if kind is Kind.EVENT else ""
    named = kind in {Kind.EVENT, Kind.PRODUCT}
    return make_row(
        site,
        day + timedelta(seconds=chance.randrange(86_400))
        if day
        else START + timedelta(seconds=chance.randrange(DAYS * 86_400)),
        visitor=f"visitor-{chance.randrange(25)}",
        kind=int(kind),
        page_url=f"{ORIGIN}/{chance.randrange(6)}",
        referrer=chance.choice(["", "https://search.example/", "https://letter.example/"]),
        name=chance.choice(["sign-up", "order"]) if named else "",
        props=props,
        engaged_ms=chance.randrange(1_000) if kind is Kind.ENGAGEMENT else 0,
        **{name: chance.choice(values) for name, values in SAID.items()},
    )


SAID = {
    "country": ("DE", "NP", ""),
    "language": ("en-gb", "de"),
    "device": ("mobile", "desktop"),
    "browser": ("Firefox", "Chrome"),
    "system": ("Linux", "iOS"),
    "screen": ("1920x1080", "390x844"),
    "utm_source": ("", "newsletter", "ad"),
    "utm_medium": ("", "email", "cpc"),
    "utm_campaign": ("", "autumn", "winter"),
    "utm_term": ("", "desk", "chair"),
    "utm_content": ("", "top", "bottom"),
}
