"""The engine says what a plain look at every row says, whatever is asked."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from apiflask import APIFlask

from tests.visits.raw.glances import at_a_glance
from tests.visits.raw.made_rows import (
    DAYS,
    PAGES,
    START,
    Made,
    Row,
    ask_plainly,
    by_value,
    make_filters,
    make_rows,
    plain_figures,
    write_rows,
)
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.buckets import Aggregation, make_edges
from webapp.visits.models import Dimension
from webapp.visits.questions import Figures, Filter, Operator, Question, TooManyPointsError, told_of
from webapp.visits.raw import engine
from webapp.visits.raw.frames import PLACE, SOURCE
from webapp.visits.raw.selection import ROW_FIELDS

END = START + timedelta(days=DAYS)
TOLD_EMPTY = ("entry_page", "exit_page", "referrer")
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(params=range(2))
def asked(
    request: pytest.FixtureRequest, app_context: APIFlask, organisation_id: UUID
) -> tuple[Made, Question, Random]:
    random = Random(request.param)
    site = add_site(app_context, organisation_id)
    made = make_rows(random, 300)
    write_rows(organisation_id, site.id, made, random)
    return made, Question(organisation_id, (site.id,), START, END), random


def test_totals_are_those_of_the_rows_that_pass_all_filters(asked: tuple[Made, Question, Random]) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(60):
            question = ask_at_random(everything, random)
            assert engine.totals(question) == ask_plainly(made, question).figures(question.start, question.end), (
                question
            )


@pytest.mark.parametrize("aggregation", [Aggregation.MINUTE, Aggregation.HOUR, Aggregation.DAY])
def test_points_are_the_totals_of_their_buckets_over_a_clock_change_too(
    asked: tuple[Made, Question, Random], aggregation: Aggregation
) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(10):
            question = ask_at_random(everything, random)
            if aggregation is Aggregation.MINUTE:
                question = replace(question, end=question.start + timedelta(hours=3))
            edges = make_edges(aggregation, question.start, question.end, BERLIN)
            question = replace(question, start=edges[0], end=edges[-1])
            plain = ask_plainly(made, question)
            expected = [plain.figures(start, end) for start, end in pairwise(edges)]
            assert engine.points(question, edges) == expected, question


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Australia/Lord_Howe", "UTC"])
def test_months_and_odd_zones_are_cut_at_their_own_midnights(asked: tuple[Made, Question, Random], zone: str) -> None:
    made, everything, _ = asked
    edges = make_edges(Aggregation.MONTH, START, END, ZoneInfo(zone))
    question = replace(everything, start=edges[0], end=edges[-1])
    plain = ask_plainly(made, question)
    with tenant(question.organisation_id):
        assert engine.points(question, edges) == [plain.figures(start, end) for start, end in pairwise(edges)]


def test_pages_are_counted_by_bucket(asked: tuple[Made, Question, Random]) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(10):
            question = ask_at_random(everything, random)
            edges = make_edges(Aggregation.HOUR, question.start, question.end, BERLIN)
            question = replace(question, start=edges[0], end=edges[-1])
            pages = by_value(ask_plainly(made, question).activity, "page")
            expected = {
                page: [
                    (start, count)
                    for start, end in pairwise(edges)
                    if (
                        count := plain_figures(
                            [
                                row
                                for row in rows
                                if start.timestamp() * 1000 <= row["visited_ms"] < end.timestamp() * 1000
                            ],
                            [],
                        ).pageview_count
                    )
                ]
                for page, rows in sorted(pages.items())
            }
            found = engine.page_points(question, edges, 10_000)
            assert found == {page: points for page, points in expected.items() if points}


@pytest.mark.parametrize("field", PLACE)
def test_places_are_told_of_activity_and_of_visits(asked: tuple[Made, Question, Random], field: str) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(4):
            question = ask_at_random(everything, random)
            plain = ask_plainly(made, question)
            rows, visits = by_value(plain.activity, field), by_value(plain.visits, field)
            expected = {
                value: told_of(field, plain_figures(rows.get(value, []), visits.get(value, [])))
                for value in {**rows, **visits}
            }
            expected = {
                value: told
                for value, told in expected.items()
                if told.visit_count or told.pageview_count or told.event_count
            }
            found = engine.breakdown(question, field, 50)
            assert {line.value: line.figures for line in found} == expected, question
            assert [line.value for line in found] == sorted(
                expected, key=lambda value: (-expected[value].visit_count, -expected[value].event_count, value)
            )


def test_pages_are_told_of_their_views_and_entries(asked: tuple[Made, Question, Random]) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(4):
            question = ask_at_random(everything, random)
            plain = ask_plainly(made, question)
            entries = by_value(plain.visits, "entry_page")
            expected = {
                value: told_of("page", plain_figures(rows, entries.get(value, [])))
                for value, rows in by_value(plain.activity, "page").items()
                if any(row["kind"] == 0 for row in rows)
            }
            found = engine.breakdown(question, "page", 50)
            assert {line.value: line.figures for line in found} == expected, question
            assert [line.value for line in found] == sorted(
                expected, key=lambda value: (-expected[value].pageview_count, value)
            )


@pytest.mark.parametrize("field", ["event", "product", "property"])
def test_events_products_and_properties_are_counted_as_events(asked: tuple[Made, Question, Random], field: str) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(6):
            question = ask_at_random(everything, random)
            rows_by_value = by_value(ask_plainly(made, question).activity, field)
            expected = {
                value: told_of(
                    field, Figures(event_count=len(rows), visitor_count=len({row["visitor"] for row in rows}))
                )
                for value, rows in rows_by_value.items()
            }
            assert {line.value: line.figures for line in engine.breakdown(question, field, 100)} == expected


@pytest.mark.parametrize("field", ["entry_page", "exit_page", *SOURCE])
def test_values_of_visits_are_counted_without_what_was_taken_back(
    asked: tuple[Made, Question, Random], field: str
) -> None:
    made, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(4):
            question = ask_at_random(everything, random)
            expected = {}
            for value, rows in by_value(ask_plainly(made, question).visits, field).items():
                if not sum(row["sign"] for row in rows) or (not value and field not in TOLD_EMPTY):
                    continue
                pageview_count, event_count = count_rows(made, question, rows)
                figures = replace(plain_figures([], rows), pageview_count=pageview_count, event_count=event_count)
                expected[value] = told_of(field, figures)
            found = engine.breakdown(question, field, 50)
            assert {line.value: line.figures for line in found} == expected, question


def test_an_overview_is_its_answers_asked_one_by_one(asked: tuple[Made, Question, Random]) -> None:
    _, everything, random = asked
    fields = ["page", "channel", "utm_source", "entry_page", "country", "device", "event", "property"]
    with tenant(everything.organisation_id):
        for _ in range(10):
            question = ask_at_random(everything, random)
            edges = make_edges(Aggregation.DAY, question.start, question.end, BERLIN)
            question = replace(question, start=edges[0], end=edges[-1])
            found = engine.overview(question, edges, fields, 5)
            assert found.summary.total == engine.totals(question)
            assert found.summary.points == engine.points(question, edges)
            expected = {field: at_a_glance(field, engine.breakdown(question, field, 5)) for field in fields}
            assert found.lists == expected, question


def test_a_summary_may_stop_before_its_last_bucket_ends(asked: tuple[Made, Question, Random]) -> None:
    _, everything, random = asked
    with tenant(everything.organisation_id):
        for _ in range(10):
            question = ask_at_random(everything, random)
            edges = make_edges(Aggregation.DAY, question.start, question.end, BERLIN)
            question = replace(question, start=edges[0], end=edges[-1])
            until = question.end - timedelta(hours=random.randrange(30))
            found = engine.summary(question, edges, until)
            assert found.total == engine.totals(replace(question, end=max(until, question.start)))
            assert found.points == engine.points(question, edges)


def test_a_site_without_rows_answers_zeros(app_context: APIFlask, organisation_id: UUID) -> None:
    site = add_site(app_context, organisation_id)
    question = Question(organisation_id, (site.id,), START, END, (Filter("page", Operator.IS, (PAGES[0],)),))
    edges = make_edges(Aggregation.DAY, START, END, BERLIN)
    with tenant(organisation_id):
        assert engine.totals(question) == plain_figures([], [])
        assert engine.points(question, edges) == [plain_figures([], [])] * (len(edges) - 1)
        assert engine.page_points(question, edges, 10) == {}
        for field in ("page", "entry_page", *(dimension.value for dimension in Dimension)):
            assert engine.breakdown(question, field, 10) == []


def test_what_is_no_field_is_refused(app_context: APIFlask, organisation_id: UUID) -> None:
    question = Question(organisation_id, (), START, END)
    with tenant(organisation_id):
        with pytest.raises(ValueError, match="no field"):
            engine.breakdown(question, "1; DROP TABLE no_visits", 10)
        with pytest.raises(ValueError, match="no field"):
            engine.totals(replace(question, filters=(Filter("1=1 OR page", Operator.IS, ("x",)),)))


def test_more_points_than_an_answer_may_hold_are_refused(asked: tuple[Made, Question, Random]) -> None:
    _, question, _ = asked
    edges = make_edges(Aggregation.HOUR, START, END, ZoneInfo("UTC"))
    with tenant(question.organisation_id), pytest.raises(TooManyPointsError):
        engine.page_points(question, edges, 10)


def test_another_organisations_rows_are_not_read(asked: tuple[Made, Question, Random], charlie: object) -> None:
    _, question, _ = asked
    other = charlie.organisation_id  # type: ignore[attr-defined]
    with tenant(other):
        assert engine.totals(question).pageview_count == 0
        assert engine.totals(replace(question, organisation_id=other)).pageview_count == 0


def count_rows(made: Made, question: Question, visits: list[Row]) -> tuple[int, int]:
    """Pageviews and events: what the visits' own rows add up to, as far as they pass filters of rows."""
    if not question.rows and not any(wanted.field == "page" for wanted in question.filters):
        pageview_count = sum(row["sign"] * row["pageview_count"] for row in visits)
        return pageview_count, sum(row["sign"] * row["event_count"] for row in visits)
    standing = {row["visit"] for row in visits}
    whole = replace(question, start=START, end=END + timedelta(days=2))
    figures = plain_figures([row for row in ask_plainly(made, whole).activity if row["visit"] in standing], [])
    return figures.pageview_count, figures.event_count


def ask_at_random(everything: Question, random: Random) -> Question:
    start = START + timedelta(hours=random.choice((0, 0, 5, 30)))
    end = START + timedelta(days=random.choice((2, 4, DAYS)))
    rows = tuple(one for one in make_filters(random) if one.field in ROW_FIELDS)
    return replace(everything, start=start, end=end, filters=make_filters(random), rows=random.choice(((), (), rows)))


assert datetime(2026, 3, 29, 1, tzinfo=UTC) > START, "the range holds a clock change"
