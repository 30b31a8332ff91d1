"""Filters by events, properties and products are about visits: whatever they show, it adds up to the same whole."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.visits.raw.glances import at_a_glance
from tests.visits.raw.made_rows import (
    DAYS,
    EVENTS,
    PAGES,
    PRODUCTS,
    START,
    Made,
    ask_plainly,
    by_value,
    is_within,
    make_filters,
    make_rows,
    write_rows,
)
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.backlog import Kind
from webapp.visits.buckets import Aggregation, make_edges
from webapp.visits.questions import Filter, Operator, Question
from webapp.visits.raw import engine, reading
from webapp.visits.raw.frames import PLACE

IS, IS_NOT = Operator.IS, Operator.IS_NOT
SIGN_UP = Filter("event", IS, (EVENTS[0],))
BUY = Filter("event", Operator.BEGINS, (EVENTS[1],))
PRO = Filter("property", IS, (f"{EVENTS[0]}\x1fplan\x1ffree",))
SKU = Filter("product", IS, (PRODUCTS[0],))
PRICING = Filter("page", IS, (PAGES[1],))
GERMANY = Filter("country", IS, ("DE",))
SEARCH = Filter("channel", IS, ("search",))
KINDS = [
    (),
    (SIGN_UP,),
    (replace(SIGN_UP, operator=IS_NOT),),
    (PRO,),
    (SKU,),
    (PRICING,),
    (GERMANY,),
    (SEARCH,),
    (Filter("exit_page", IS_NOT, (PAGES[1],)),),
    (PRICING, SIGN_UP),
    (PRICING, SEARCH, GERMANY),
    (SIGN_UP, BUY, replace(SKU, operator=IS_NOT)),
    (replace(PRICING, operator=IS_NOT), SIGN_UP, SEARCH),
]
WHOLE = ["page", "entry_page", "exit_page", "event", "channel", "referrer", *PLACE]
"""Lists to which everything belongs: most visits came by no campaign, and one event has several properties."""
OF_VISITS = {"channel", "referrer", *PLACE}
ADDING_UP = {
    "visit_count": {*OF_VISITS, "entry_page", "exit_page"},
    "pageview_count": {*OF_VISITS, "page"},
    "event_count": {*OF_VISITS, "event"},
    "bounce_count": {*OF_VISITS, "entry_page"},
    "visit_ms": OF_VISITS,
}


@pytest.fixture
def asked(app_context: APIFlask, organisation_id: UUID) -> tuple[Made, Question, Random]:
    """Visits of some days, none of which is under way when the range begins or ends."""
    random = Random(11)
    site = add_site(app_context, organisation_id)
    made = make_rows(random, 400, START + timedelta(hours=2), DAYS - 1)
    for visit in made.visits:
        visit["channel"] = visit["channel"] or "direct"
    write_rows(organisation_id, site.id, made, random)
    return made, Question(organisation_id, (site.id,), START, START + timedelta(days=DAYS)), random


def test_a_page_and_an_event_may_be_of_different_rows(asked: tuple[Made, Question, Random]) -> None:
    made, everything, _ = asked
    did = {row["visit"] for row in made.activity if row["kind"] == Kind.EVENT and row["name"] == EVENTS[0]}
    seen = [row for row in made.activity if row["page"] == PAGES[1] and row["visit"] in did]
    views = [row for row in seen if row["kind"] == Kind.PAGEVIEW]
    assert views, "the rows hold what the test is about"
    with tenant(everything.organisation_id):
        found = engine.totals(replace(everything, filters=(PRICING, SIGN_UP)))
        whole = engine.totals(replace(everything, filters=(SIGN_UP,)))
    assert found.pageview_count == len(views)
    assert found.visit_count == len({row["visit"] for row in seen if row["kind"] != Kind.ENGAGEMENT})
    assert (whole.visit_count, whole.pageview_count) == (
        len(did),
        sum(row["kind"] == Kind.PAGEVIEW and row["visit"] in did for row in made.activity),
    )


def test_filters_of_many_kinds_say_what_a_look_at_every_row_says(asked: tuple[Made, Question, Random]) -> None:
    made, everything, random = asked
    named = [SIGN_UP, BUY, PRO, SKU, *(replace(one, operator=IS_NOT) for one in (SIGN_UP, BUY, PRO, SKU))]
    with tenant(everything.organisation_id):
        for _ in range(80):
            filters = (*random.sample(named, random.choice((1, 2, 3))), *make_filters(random)[:2])
            hours = random.choice((0, 7, 31))
            question = replace(everything, start=START + timedelta(hours=hours), filters=filters)
            expected = ask_plainly(made, question).figures(question.start, question.end)
            assert engine.totals(question) == expected, question


@pytest.mark.parametrize("asks_entries", [True, False])
def test_pages_are_the_same_whether_entries_or_rows_are_asked_first(
    asked: tuple[Made, Question, Random], monkeypatch: pytest.MonkeyPatch, asks_entries: bool
) -> None:
    """Whatever else is asked for, and whether a visit entered on the page, left it, or changed after it was written."""
    monkeypatch.setattr(reading, "_asks_entries", lambda found: asks_entries and found.selection.may_ask_entries)
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(20):
            pages = tuple(_filter_of_pages(random) for _ in range(random.choice((1, 1, 2))))
            start = everything.start + timedelta(hours=random.choice((0, 7, 31)))
            question = replace(everything, start=start, filters=(*pages, *make_filters(random)[:2]))
            edges = make_edges(Aggregation.DAY, start, question.end, ZoneInfo("UTC"))
            plain = ask_plainly(made, replace(question, start=edges[0]))
            assert engine.totals(question) == plain.figures(start, question.end), question
            points = engine.points(replace(question, start=edges[0]), edges)
            assert points == [plain.figures(first, last) for first, last in pairwise(edges)], question
            entries = by_value(plain.visits, "entry_page")
            for value in engine.breakdown(question, "page", 10):
                entered = [
                    row for row in entries.get(value.value, []) if is_within(row["started_ms"], start, question.end)
                ]
                assert value.figures.visit_count == sum(row["sign"] for row in entered), question


def _filter_of_pages(random: Random) -> Filter:
    operator = random.choice((IS, IS_NOT, IS_NOT, Operator.BEGINS, Operator.CONTAINS))
    pages = random.sample(PAGES, random.choice((1, 2, 4)))
    parts = {Operator.BEGINS: slice(None, 22), Operator.CONTAINS: slice(20, 24)}
    return Filter("page", operator, tuple(page[parts.get(operator, slice(None))] for page in pages))


def test_entries_are_asked_first_where_most_of_them_pass(asked: tuple[Made, Question, Random]) -> None:
    _, everything, _ = asked
    expected = {
        (PRICING,): False,
        (replace(PRICING, operator=IS_NOT),): True,
        (replace(PRICING, operator=IS_NOT), PRICING): False,
        (Filter("page", Operator.BEGINS, (PAGES[0],)),): True,
        (Filter("page", Operator.CONTAINS, ("nothing like that",)),): False,
        (SIGN_UP,): False,
    }
    with tenant(everything.organisation_id):
        for filters, asks in expected.items():
            question = replace(everything, filters=filters)
            assert reading.read(question, lambda found: found.selection.asks_entries) is asks, filters
        steps = replace(everything, filters=(), rows=(replace(PRICING, operator=IS_NOT), SIGN_UP))
        assert not reading.read(steps, lambda found: found.selection.asks_entries)


def test_the_sum_over_each_list_is_the_header_under_filters_of_every_kind(
    asked: tuple[Made, Question, Random],
) -> None:
    _, everything, _ = asked
    edges = make_edges(Aggregation.DAY, everything.start, everything.end, ZoneInfo("UTC"))
    with tenant(everything.organisation_id):
        for filters in KINDS:
            question = replace(everything, filters=filters)
            header = engine.totals(question)
            page = engine.overview(question, edges, WHOLE, 100)
            assert header.pageview_count
            assert page.summary.total == header
            for field in WHOLE:
                values = engine.breakdown(question, field, 100)
                assert page.lists[field] == at_a_glance(field, values)
                for name, fields in ADDING_UP.items():
                    told = sum(getattr(value.figures, name) for value in values)
                    assert field not in fields or told == getattr(header, name), (filters, field, name)


def test_what_an_event_was_reported_with_is_told_of_its_own_rows(asked: tuple[Made, Question, Random]) -> None:
    made, everything, _ = asked
    question = replace(everything, filters=(GERMANY,), rows=(SIGN_UP,))
    rows = [
        row
        for row in made.activity
        if row["kind"] == Kind.EVENT and row["name"] == EVENTS[0] and row["country"] == "DE"
    ]
    with tenant(question.organisation_id):
        total, by_device = engine.totals(question), engine.visitors_by(question, "device")
    assert (total.event_count, total.visitor_count) == (len(rows), len({row["visitor"] for row in rows}))
    assert total.pageview_count == 0
    assert {one.value: one.figures.event_count for one in by_device} == {
        device: sum(row["device"] == device for row in rows) for device in ("desktop", "mobile")
    }


def test_a_property_filter_takes_visits_by_the_value_alone(asked: tuple[Made, Question, Random]) -> None:
    made, everything, _ = asked
    did = {
        row["visit"]
        for row in made.activity
        if row["name"] == EVENTS[0] and json.loads(row["props"] or "{}").get("plan") == "free"
    }
    with tenant(everything.organisation_id):
        assert engine.totals(replace(everything, filters=(PRO,))).visit_count == len(did)
        others = engine.totals(replace(everything, filters=(replace(PRO, operator=IS_NOT),)))
        assert others.visit_count == engine.totals(everything).visit_count - len(did)
