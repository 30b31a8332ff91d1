"""What visitors do one after another, from raw rows: funnels, and in which weeks they come again.

A funnel counts every visitor. Weeks count one by one up to a number of visits, and beyond it a share of the visitors
that their own numbers choose, which `is_estimate` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from webapp.visits.questions import Filter, Question
from webapp.visits.raw.buckets import bucket_of
from webapp.visits.raw.counts import visitor_share
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters, row_condition
from webapp.visits.raw.selection import IS_VISITOR, ROW_FIELDS

STEPS = range(2, 9)


@dataclass(frozen=True)
class Funnel:
    """How many visitors reached each step."""

    visitor_counts: tuple[int, ...]


@dataclass(frozen=True)
class Cohorts:
    """For each week: how many visitors came for the first time, and how many of them in each week after it."""

    visitor_counts: tuple[tuple[int, ...], ...]
    is_estimate: bool


def funnel(question: Question, steps: Sequence[Filter]) -> Funnel:
    """Visitors who did the first step, then later the second, and so on, within the range; 2 to 8 steps.

    A step is a filter of a row: a page, an event, a property or a product.
    """
    if len(steps) not in STEPS:
        raise ValueError(f"A funnel has {STEPS[0]} to {STEPS[-1]} steps.")
    if wrong := [step.field for step in steps if step.field not in ROW_FIELDS]:
        raise ValueError(f"{wrong[0]!r} is no step: a step is a page, an event, a property or a product.")
    return read(question, lambda reading: _funnel(reading, steps))


def retention_by_week(question: Question, edges: Sequence[datetime]) -> Cohorts:
    """Visitors by the week of their first visit, and the weeks in which they came again.

    `edges` are the beginnings of the weeks, and the end of the last. The question's range may begin before them: who
    came then is new in none of them.
    """
    return read(question, lambda reading: _retention(reading, edges))


def _funnel(reading: Reading, steps: Sequence[Filter]) -> Funnel:
    """One look at the rows finds those of any step. Of each visitor the next step asks only for the earliest moment
    at which they were through with the one before.
    """
    parameters = Parameters()
    conditions = [row_condition(step, parameters) for step in steps]
    rows = reading.selection.activity(parameters, f"({' OR '.join(conditions)}) AND {IS_VISITOR}")
    does = ", ".join(f"{condition} AS does_{number}" for number, condition in enumerate(conditions))
    tables = [f"doings AS MATERIALIZED (SELECT visitor, visited_ms, {does} FROM {rows})"]
    tables += [f"step_{number} AS MATERIALIZED ({_step(number)})" for number in range(len(steps))]
    counts = ", ".join(f"(SELECT count(*) FROM step_{number})" for number in range(len(steps)))
    [found] = reading.rows(f"WITH {', '.join(tables)} SELECT {counts}", parameters)
    return Funnel(tuple(map(int, found)))


def _step(number: int) -> str:
    if not number:
        return "SELECT visitor, min(visited_ms) AS at FROM doings WHERE does_0 GROUP BY visitor"
    return f"""
        SELECT visitor, min(visited_ms) AS at FROM doings JOIN step_{number - 1} AS before USING (visitor)
        WHERE does_{number} AND visited_ms > before.at GROUP BY visitor
    """


def _retention(reading: Reading, edges: Sequence[datetime]) -> Cohorts:
    selection, parameters = reading.selection, Parameters()
    [[visit_count]] = reading.rows(f"SELECT coalesce(sum(sign), 0) FROM {selection.visits(parameters)}", parameters)
    share, parameters = visitor_share(visit_count), Parameters()
    before = [selection.question.start] if selection.question.start < edges[0] else []
    week = f"{bucket_of('started_ms', [*before, *edges], parameters)} - {len(before)}"
    statement = f"""
        WITH weeks AS MATERIALIZED (
            SELECT visitor, {week} AS week FROM {selection.visits(parameters)}
            WHERE visitor & {share - 1} = 0 GROUP BY 1, 2 HAVING sum(sign) > 0
        ), firsts AS (SELECT visitor, min(week) AS first_week FROM weeks GROUP BY 1)
        SELECT first_week, week - first_week, count(*) FROM weeks JOIN firsts USING (visitor)
        WHERE first_week >= 0 GROUP BY 1, 2
    """
    found = {(row[0], row[1]): row[2] * share for row in reading.rows(statement, parameters)}
    weeks = len(edges) - 1
    return Cohorts(
        tuple(tuple(found.get((first, later), 0) for later in range(weeks - first)) for first in range(weeks)),
        share > 1,
    )
