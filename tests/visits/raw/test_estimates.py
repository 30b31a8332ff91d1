"""Visitors of very many visits: exact up to the limit, and beyond it no further off than is said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import sqrt
from uuid import UUID

import polars as pl
import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st

from tests.visits.raw.made_rows import START, write_chunk
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.backlog import Kind
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.sketches import ERROR_PERCENT
from webapp.visits.models import RawKind, Site
from webapp.visits.questions import Filter, Operator, Question
from webapp.visits.raw import counts, engine, journeys
from webapp.visits.raw.counts import EXACT_VISITS, visitor_share
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, VISIT_SCHEMA

DAYS = 12
VISITORS = 4_000
"""New ones each day, with one visit."""
LIMIT = 500
SHARE = 8
PAGE = "https://shop.example/"


@pytest.fixture
def site(app_context: APIFlask, organisation_id: UUID) -> Iterator[Site]:
    """With visits of many visitors: every other one of them is from Nepal."""
    site = add_site(app_context, organisation_id)
    with tenant(organisation_id):
        for kind, schema in ((RawKind.ACTIVITY, ACTIVITY_SCHEMA), (RawKind.VISIT, VISIT_SCHEMA)):
            write_chunk(organisation_id, site.id, kind, make_frame(site, schema))
        yield site


def make_frame(site: Site, schema: pl.Schema) -> pl.DataFrame:
    numbers = [visitor_number(site.id.bytes, f"visitor-{number}") for number in range(DAYS * VISITORS)]
    first = round(START.timestamp() * 1000)
    moments = [first + (number // VISITORS) * 86_400_000 + number % VISITORS for number in range(len(numbers))]
    values: dict[str, object] = {
        "visited_ms": moments, "started_ms": moments, "visitor": numbers, "visit": range(1, len(numbers) + 1),
        "country": ["NP", "AT"] * (len(numbers) // 2),
        "page": PAGE, "entry_page": PAGE, "channel": "direct", "kind": int(Kind.PAGEVIEW),
        "is_entry": True, "sign": 1, "pageview_count": 1, "is_bounce": True,
    }  # fmt: skip
    rest = {name: "" if kind == pl.String() else 0 for name, kind in schema.items() if name not in values}
    given = {name: values[name] for name in schema if name in values}
    constant = {name: pl.lit(value) for name, value in {**given, **rest}.items() if isinstance(value, (int, str))}
    frame = pl.DataFrame({name: value for name, value in given.items() if name not in constant})
    return frame.with_columns(**constant).select(pl.col(name).cast(kind) for name, kind in schema.items())


def day(site: Site, number: int, *filters: Filter) -> Question:
    start = START + timedelta(days=number)
    return Question(site.organisation_id, (site.id,), start, start + timedelta(days=1), filters)


def error_of(found: int, truth: int, share: int) -> float:
    """In standard deviations of how many of so many visitors are among a share of them."""
    return abs(found - truth) / (truth * sqrt((share - 1) / truth))


@given(st.integers(0, 10**12))
def test_the_share_leaves_few_enough_visits_and_no_fewer_than_it_must(visit_count: int) -> None:
    share = visitor_share(visit_count)
    assert share.bit_count() == 1
    assert visit_count / share <= EXACT_VISITS
    assert share == 1 or visit_count * 2 / share > EXACT_VISITS * 0.99


@pytest.mark.parametrize("visits_of_one", [1, 5, 50])
def test_what_is_left_is_enough_for_the_error_that_is_said(visits_of_one: int) -> None:
    """Twice the deviation is what 19 of 20 answers stay within, just where visitors begin to be estimated."""
    share = visitor_share(EXACT_VISITS + 1)
    visitors = EXACT_VISITS / visits_of_one
    assert 2 * sqrt((share - 1) / visitors) * 100 < ERROR_PERCENT


def test_up_to_the_limit_each_visitor_counts(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "EXACT_VISITS", VISITORS)
    for number in range(DAYS):
        found = engine.totals(day(site, number))
        assert (found.visit_count, found.visitor_count, found.is_estimate) == (VISITORS, VISITORS, False)


def test_beyond_the_limit_totals_are_close_and_say_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "EXACT_VISITS", LIMIT)
    found = [engine.totals(day(site, number)) for number in range(DAYS)]
    assert all(one.is_estimate and one.visit_count == VISITORS and one.pageview_count == VISITORS for one in found)
    assert_close([one.visitor_count for one in found], VISITORS, SHARE)


def assert_close(found: list[int], truth: int, share: int) -> None:
    """As a share of visitors chosen by chance would be: most within two deviations, none beyond four."""
    assert all(one % share == 0 for one in found)
    errors = [error_of(one, truth, share) for one in found]
    assert max(errors) < 4, found
    assert sum(error < 2 for error in errors) >= len(found) * 0.8, found
    assert abs(sum(found) / len(found) - truth) < truth * 4 * sqrt((share - 1) / truth / len(found)), "to one side"


def test_a_filter_to_few_is_exact_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "EXACT_VISITS", VISITORS // 2)
    everybody, nepal = engine.totals(day(site, 0)), engine.totals(day(site, 0, country("NP")))
    assert (everybody.is_estimate, nepal.is_estimate) == (True, False)
    assert nepal.visitor_count == VISITORS // 2


def country(code: str) -> Filter:
    return Filter("country", Operator.IS, (code,))


def test_points_are_estimated_together(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "EXACT_VISITS", LIMIT * DAYS)
    question = Question(site.organisation_id, (site.id,), START, START + timedelta(days=DAYS))
    found = engine.points(question, [START + timedelta(days=number) for number in range(DAYS + 1)])
    assert all(one.is_estimate for one in found)
    assert_close([one.visitor_count for one in found], VISITORS, SHARE)


def test_weeks_are_estimated_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    question = Question(site.organisation_id, (site.id,), START, START + timedelta(days=14))
    edges = [START, START + timedelta(days=7), START + timedelta(days=14)]
    exact = journeys.retention_by_week(question, edges)
    assert (exact.is_estimate, exact.visitor_counts[0][0]) == (False, 7 * VISITORS)
    monkeypatch.setattr(counts, "EXACT_VISITS", LIMIT * DAYS)
    found = journeys.retention_by_week(question, edges)
    assert found.is_estimate
    assert error_of(found.visitor_counts[0][0], 7 * VISITORS, SHARE) < 4
