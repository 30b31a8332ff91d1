"""Visitors of every field's values: equal to a plain count while small, and beyond no further off than is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from random import Random
from uuid import UUID

import polars as pl
import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import (
    DAYS,
    START,
    Plain,
    ask_plainly,
    by_value,
    make_filters,
    make_rows,
    write_chunk,
    write_rows,
)
from tests.visits.raw.test_estimates import VISITORS, day, error_of, make_frame
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind, Site
from webapp.visits.questions import FIELDS, Filter, Operator, Question
from webapp.visits.raw import counts, engine
from webapp.visits.raw.counts import visitor_share
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, PLACE, VISIT_SCHEMA

LIMIT = 500
TOLD_EMPTY = ("entry_page", "exit_page", "referrer")
NAMED = ("event", "property", "product")


@pytest.fixture
def many(app_context: APIFlask, organisation_id: UUID) -> Iterator[Site]:
    """A site with 4,000 visitors a day, one visit each, half of them from Nepal."""
    site = add_site(app_context, organisation_id)
    with tenant(organisation_id):
        for kind, schema in ((RawKind.ACTIVITY, ACTIVITY_SCHEMA), (RawKind.VISIT, VISIT_SCHEMA)):
            write_chunk(organisation_id, site.id, kind, make_frame(site, schema))
        yield site


@pytest.mark.parametrize("seed", range(2))
def test_every_field_tells_the_visitors_that_a_plain_count_finds(
    app_context: APIFlask, organisation_id: UUID, seed: int
) -> None:
    random, site = Random(seed), add_site(app_context, organisation_id)
    made = make_rows(random, 300)
    write_rows(organisation_id, site.id, made, random)
    everything = Question(organisation_id, (site.id,), START, START + timedelta(days=DAYS))
    with tenant(organisation_id):
        for filters in ((), *(make_filters(random) for _ in range(4))):
            question = Question(organisation_id, (site.id,), everything.start, everything.end, filters)
            plain = ask_plainly(made, question)
            for field in FIELDS:
                expected = plain_visitors(plain, field)
                found = engine.most_visited(question, field, 500)
                told = [(one.value, one.figures.visitor_count) for one in found]
                assert told == sorted(expected.items(), key=lambda one: (-one[1], one[0])), (field, question)
                assert not any(one.figures.is_estimate for one in found)


def plain_visitors(plain: Plain, field: str) -> dict[str, int]:
    """Of each value its visitors, counted one by one."""
    if field in NAMED:
        found = by_value(plain.activity, field)
    elif field == "page":
        found = by_value((row for row in plain.activity if row["kind"] == Kind.PAGEVIEW), field)
    elif field in PLACE:
        found = by_value((row for row in plain.activity if row["kind"] != Kind.ENGAGEMENT), field)
    else:
        return visitors_of_visits(plain, field)
    return {value: len({row["visitor"] for row in rows}) for value, rows in found.items()}


def visitors_of_visits(plain: Plain, field: str) -> dict[str, int]:
    """Without what was taken back."""
    signs = Counter[tuple[str, int]]()
    for row in plain.visits:
        signs[row[field], row["visitor"]] += row["sign"]
    found = Counter(value for (value, _), sign in signs.items() if sign > 0 and (value or field in TOLD_EMPTY))
    return dict(found)


@pytest.mark.parametrize("field", ["country", "entry_page", "channel", "page"])
def test_values_are_estimated_each_by_itself(many: Site, monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    exact = engine.most_visited(day(many, 1), field, 10)
    assert not any(one.figures.is_estimate for one in exact)
    truths = {one.value: one.figures.visitor_count for one in exact}
    assert sum(truths.values()) == VISITORS
    monkeypatch.setattr(counts, "EXACT_VISITS", LIMIT)
    found = engine.most_visited(day(many, 1), field, 10)
    assert {one.value for one in found} == set(truths)
    for one in found:
        share = visitor_share(truths[one.value])
        assert one.figures.is_estimate
        assert one.figures.visitor_count % share == 0
        assert error_of(one.figures.visitor_count, truths[one.value], share) < 4


def test_a_value_of_few_is_exact_among_values_of_many(many: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "EXACT_VISITS", VISITORS // 2)
    found = engine.most_visited(day(many, 2), "country", 10)
    assert [(one.figures.visitor_count, one.figures.is_estimate) for one in found] == [(VISITORS // 2, False)] * 2
    [page] = engine.most_visited(day(many, 2), "page", 10)
    assert page.figures.is_estimate


def test_as_many_values_as_are_wanted_and_those_with_most(many: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Question(many.organisation_id, (many.id,), START, START + timedelta(days=3))
    for limit in (VISITORS * 4, LIMIT):
        monkeypatch.setattr(counts, "EXACT_VISITS", limit)
        assert len(engine.most_visited(whole, "country", 1)) == 1


@pytest.mark.parametrize("limit", [VISITORS * 2, LIMIT])
def test_devices_of_an_event_add_up_to_its_visitors(
    app_context: APIFlask, organisation_id: UUID, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Both are counted among the same share, so nobody reads two numbers that do not agree."""
    site = add_site(app_context, organisation_id)
    frame = make_frame(site, ACTIVITY_SCHEMA).with_columns(
        kind=pl.lit(Kind.EVENT.value).cast(ACTIVITY_SCHEMA["kind"]), name=pl.lit("sign-up")
    )
    monkeypatch.setattr(counts, "EXACT_VISITS", limit)
    with tenant(organisation_id):
        write_chunk(organisation_id, site.id, RawKind.ACTIVITY, frame)
        write_chunk(organisation_id, site.id, RawKind.VISIT, make_frame(site, VISIT_SCHEMA))
        question = day(site, 1, Filter("event", Operator.IS, ("sign-up",)))
        total, places = engine.totals(question), engine.visitors_by(question, "country")
    assert total.event_count == sum(one.figures.event_count for one in places) == VISITORS
    assert total.visitor_count == sum(one.figures.visitor_count for one in places)
    assert {one.figures.is_estimate for one in places} == {total.is_estimate} == {limit == LIMIT}
