"""A person's visits, newest first, in pages, whatever of them lies in chunks or in sealed files."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import START, Made, make_rows, write_rows
from tests.visits.support import ORIGIN, add_rows, add_site, count_all, make_row, utc
from webapp.config import Settings
from webapp.extensions import tenant
from webapp.lib.pagination import BadCursorError
from webapp.visits.backlog import Kind
from webapp.visits.models import Site
from webapp.visits.people import timeline
from webapp.visits.people.identities import Linked, visitors_of
from webapp.visits.people.reading import Person
from webapp.visits.people.spans import Span, plan_spans
from webapp.visits.people.summary import summarise
from webapp.visits.people.timeline import PersonVisit, list_visits
from webapp.visits.raw import tasks

ALICE = "alice@example.com"
AT = utc("2026-11-20T10:00:00")


@pytest.fixture
def site(app_context: APIFlask, organisation_id: UUID) -> Site:
    return add_site(app_context, organisation_id)


def person_of(site: Site, *visitors: int, until: datetime | None = None) -> Person:
    links = [Linked(site.id, visitor, ALICE, START, until) for visitor in visitors]
    return Person(site.organisation_id, tuple(links))


def walk(person: Person, limit: int) -> list[PersonVisit]:
    """All pages, one after the other."""
    page = list_visits(person, limit=limit)
    found = list(page.visits)
    while page.next_cursor:
        page = list_visits(person, page.next_cursor, limit)
        found += page.visits
    return found


def expected_visits(made: Made, visitors: set[int]) -> list[tuple[int, int, int]]:
    """(start, visit, pageviews), the newest first."""
    counted: Counter[tuple[int, int, int]] = Counter()
    for row in made.visits:
        if row["visitor"] in visitors:
            counted[row["started_ms"], row["visit"], row["pageview_count"]] += row["sign"]
    return sorted((visit for visit, count in counted.items() if count > 0), reverse=True)


def keys_of(visits: list[PersonVisit]) -> list[tuple[int, int, int]]:
    return [(round(found.started_at.timestamp() * 1000), found.visit, found.pageview_count) for found in visits]


@pytest.fixture
def made(site: Site) -> Made:
    """Half a year of visits, in sealed files and in chunks."""
    older, newer = make_rows(Random(1), 300, START, 180), make_rows(Random(2), 100, START + timedelta(days=150), 40)
    write_rows(site.organisation_id, site.id, older, Random(1))
    tasks.seal_chunks()
    write_rows(site.organisation_id, site.id, newer, Random(2))
    return Made(older.activity + newer.activity, older.visits + newer.visits)


def test_pages_follow_each_other_without_a_gap(site: Site, made: Made) -> None:
    person = person_of(site, 3, -7)
    expected = expected_visits(made, {3, -7})
    assert len(expected) > 10
    with tenant(site.organisation_id):
        for limit in (1, 4, 100):
            assert keys_of(walk(person, limit)) == expected


def test_a_request_reads_its_share_and_the_next_goes_on(
    site: Site, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webapp.visits.people.spans.MOST_ROWS", 60)
    monkeypatch.setattr(plan_spans, "__defaults__", (60,))
    person = person_of(site, 3)
    with tenant(site.organisation_id):
        page = list_visits(person, limit=100)
        assert page.looked_since is not None
        assert page.next_cursor
        assert keys_of(walk(person, 100)) == expected_visits(made, {3})


def test_summaries_add_all_visits_up(site: Site, made: Made) -> None:
    person, own = person_of(site, 3, -7), {3, -7}
    with tenant(site.organisation_id):
        summary = summarise(person, with_pages=True)
    expected = expected_visits(made, own)
    assert (summary.visit_count, summary.pageview_count) == (len(expected), sum(row[2] for row in expected))
    assert summary.first_at is not None
    assert round(summary.first_at.timestamp() * 1000) == expected[-1][0]
    assert summary.traits["device"].total() == len(expected)
    activity = [row for row in made.activity if row["visitor"] in own]
    assert summary.engaged_ms == sum(row["engaged_ms"] for row in activity)
    pages = Counter(row["page"] for row in activity if row["kind"] == Kind.PAGEVIEW)
    assert dict(summary.top_pages) == dict(pages)


def test_nothing_after_the_moment_from_which_it_is_nobodys(site: Site, made: Made) -> None:
    until = START + timedelta(days=100)
    with tenant(site.organisation_id):
        found = keys_of(walk(person_of(site, 3, until=until), 10))
    assert found == [row for row in expected_visits(made, {3}) if row[0] < until.timestamp() * 1000]


def test_strangers_and_nobody_have_no_visits(site: Site, made: Made) -> None:
    with tenant(site.organisation_id):
        assert list_visits(person_of(site, 10**12)).visits == ()
        assert list_visits(person_of(site)).visits == ()
        assert summarise(person_of(site)).first_at is None


@pytest.mark.parametrize(
    "cursor", ["x", "WyIyMDI2IiwiMCJd", "WyJub3doZXJlIiwiMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAiXQ"]
)
def test_a_damaged_cursor_says_so(site: Site, cursor: str) -> None:
    with pytest.raises(BadCursorError):
        list_visits(person_of(site, 3), cursor)


def test_what_was_done_stands_in_its_visit(app: APIFlask, services: Settings, site: Site) -> None:
    """Also what was done before the browser told whose it is."""
    doings: list[tuple[int, dict[str, object]]] = [
        (0, {"page_url": f"{ORIGIN}/"}),
        (1, {"kind": Kind.ENGAGEMENT, "page_url": f"{ORIGIN}/", "engaged_ms": 40_000}),
        (2, {"kind": Kind.EVENT, "name": "signup", "props": '{"plan":"pro"}', "page_url": f"{ORIGIN}/pricing"}),
        (3, {"kind": Kind.PRODUCT, "name": "SKU-1", "page_url": f"{ORIGIN}/beans"}),
        (3, {"kind": Kind.IDENTIFY, "name": ALICE}),
        (90, {"page_url": f"{ORIGIN}/again"}),
    ]
    add_rows(services, [make_row(site, AT + timedelta(minutes=minute), **row) for minute, row in doings])
    add_rows(services, [make_row(site, AT, visitor="somebody else")])
    count_all(app, services)
    with tenant(site.organisation_id):
        person = Person(site.organisation_id, tuple(visitors_of(site.organisation_id, [ALICE])))
        [second, first] = list_visits(person).visits
    assert [doing.page for doing in second.doings] == [f"{ORIGIN}/again"]
    assert [(doing.kind, doing.name, doing.engaged_ms) for doing in first.doings] == [
        (Kind.PAGEVIEW, "", 40_000),
        (Kind.EVENT, "signup", 0),
        (Kind.PRODUCT, "SKU-1", 0),
    ]
    assert first.doings[1].properties == {"plan": "pro"}
    assert (first.started_at, first.duration) == (AT, timedelta(minutes=3))


def test_of_a_long_visit_the_beginning_is_shown(
    app: APIFlask, services: Settings, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "DOINGS_LIMIT", 3)
    rows = [make_row(site, AT + timedelta(minutes=minute), visitor=ALICE) for minute in range(5)]
    add_rows(services, rows)
    count_all(app, services)
    with tenant(site.organisation_id):
        person = Person(site.organisation_id, tuple(visitors_of(site.organisation_id, [ALICE])))
        [visit] = list_visits(person).visits
    assert (len(visit.doings), visit.hidden_count, visit.pageview_count) == (3, 2, 5)


def test_spans_grow_until_the_share_is_read() -> None:
    months = [utc(f"2026-{month:02}-15T00:00:00") for month in range(1, 12)]
    first = [moment.replace(day=1) for moment in months]
    end = utc("2026-11-20T00:00:00")
    assert plan_spans([], end) == []
    assert plan_spans([(months[3], 10)], end) == [Span(first[3], end, 10)]
    assert plan_spans([(months[3], 10)], first[3]) == []
    spans = plan_spans([(month, 250_000) for month in months], end)
    assert [span.start for span in spans] == [first[9], first[5], first[0]]
    assert [span.end for span in spans] == [end, first[9], first[5]]
    assert [span.start for span in plan_spans([(month, 250_000) for month in months], end, 700_000)] == [
        first[9],
        first[8],
    ]
