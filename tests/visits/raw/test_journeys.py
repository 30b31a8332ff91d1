"""Funnels and weeks say what following each visitor says."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from apiflask import APIFlask

from tests.visits.raw.made_rows import EVENTS, PAGES, START, Made, ask_plainly, make_rows, passes, write_rows
from tests.visits.support import add_site
from webapp.extensions import tenant
from webapp.visits.questions import Filter, Operator, Question
from webapp.visits.raw.journeys import Cohorts, funnel, retention_by_week

WEEKS = 5
EDGES = [START + timedelta(days=7 * week) for week in range(WEEKS + 1)]
STEPS = (
    Filter("page", Operator.IS, (PAGES[0], PAGES[1])),
    Filter("page", Operator.CONTAINS, ("pricing",)),
    Filter("event", Operator.IS, (EVENTS[0],)),
)


@pytest.fixture(params=range(3))
def asked(request: pytest.FixtureRequest, app_context: APIFlask, organisation_id: UUID) -> tuple[Made, Question]:
    random = Random(request.param)
    site = add_site(app_context, organisation_id)
    made = make_rows(random, 90, START, 7 * WEEKS)
    write_rows(organisation_id, site.id, made, random)
    return made, Question(organisation_id, (site.id,), START, EDGES[-1])


def test_a_funnel_follows_each_visitor_from_step_to_step(asked: tuple[Made, Question]) -> None:
    made, question = asked
    with tenant(question.organisation_id):
        assert list(funnel(question, STEPS).visitor_counts) == follow(made, question)
        german = replace(question, filters=(Filter("country", Operator.IS, ("DE",)),))
        assert list(funnel(german, STEPS).visitor_counts) == follow(made, german)


def follow(made: Made, question: Question) -> list[int]:
    rows = sorted(ask_plainly(made, question).activity, key=lambda row: row["visited_ms"])
    reached: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        times = reached[row["visitor"]]
        is_next = len(times) < len(STEPS) and row["kind"] != 2 and passes(row, STEPS[len(times)])
        if is_next and (not times or row["visited_ms"] > times[-1]):
            times.append(row["visited_ms"])
    return [sum(len(times) > step for times in reached.values()) for step in range(len(STEPS))]


def test_visitors_who_come_again_count_by_their_first_week(asked: tuple[Made, Question]) -> None:
    made, question = asked
    weeks: dict[int, set[int]] = defaultdict(set)
    for row in ask_plainly(made, question).visits:
        weeks[row["visitor"]].add(bisect_right(EDGES, datetime.fromtimestamp(row["started_ms"] / 1000, UTC)) - 1)
    expected = [[0] * (WEEKS - first) for first in range(WEEKS)]
    for own in weeks.values():
        for week in own:
            expected[min(own)][week - min(own)] += 1
    with tenant(question.organisation_id):
        assert retention_by_week(question, EDGES) == Cohorts(tuple(map(tuple, expected)), False)


def test_who_came_before_the_weeks_is_new_in_none_of_them(asked: tuple[Made, Question]) -> None:
    made, question = asked
    edges = EDGES[2:]
    weeks: dict[int, set[int]] = defaultdict(set)
    for row in made.visits:
        weeks[row["visitor"]].add(bisect_right(edges, datetime.fromtimestamp(row["started_ms"] / 1000, UTC)) - 1)
    new = [sum(min(own) == week for own in weeks.values()) for week in range(WEEKS - 2)]
    assert any(min(own) < 0 <= max(own) for own in weeks.values()), "somebody comes again"
    with tenant(question.organisation_id):
        found = retention_by_week(question, edges)
    assert [counts[0] for counts in found.visitor_counts] == new


def test_a_funnel_of_one_step_is_none(asked: tuple[Made, Question]) -> None:
    with pytest.raises(ValueError, match="2 to 8"):
        funnel(asked[1], STEPS[:1])
    with pytest.raises(ValueError, match="no step"):
        funnel(asked[1], (*STEPS, Filter("country", Operator.IS, ("DE",))))
