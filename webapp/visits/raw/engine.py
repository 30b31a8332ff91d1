"""Answers from raw rows: any filters, any edges, to the millisecond.

Pageviews, events and engagement are counted where they happened, visits where they began, both exactly. Visitors are
counted one by one up to a number of visits, and beyond it among a share of them that their own numbers choose, which
`is_estimate` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.questions import Figures, Question, Value
from webapp.visits.raw.breakdowns import list_values
from webapp.visits.raw.buckets import bucket_of
from webapp.visits.raw.counts import ACTIVITY_COUNTS, VISIT_COUNTS, count_visitors, figures_of, visitor_share
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.selection import Parameters


class TooManyPointsError(ValueError):
    """More than one answer may hold."""


def totals(question: Question) -> Figures:
    """All of the range together."""
    return read(question, _totals)


def points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    """The figures of every bucket between the edges, empty ones too."""
    return read(question, lambda reading: _points(reading, edges))


def breakdown(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that count most."""
    return read(question, lambda reading: list_values(reading, field, limit))


def page_points(
    question: Question, edges: Sequence[datetime], points_limit: int
) -> dict[str, list[tuple[datetime, int]]]:
    """For each page the buckets in which it was seen, and how often; raises TooManyPointsError."""
    rows = read(question, lambda reading: _page_points(reading, edges, points_limit))
    if len(rows) > points_limit:
        raise TooManyPointsError(f"This range has more than {points_limit:,} buckets with visits.")
    return {
        page: [(edges[index], count) for _, index, count in found]
        for page, found in groupby(rows, key=lambda row: str(row[0]))
    }


def _totals(reading: Reading) -> Figures:
    selection, parameters = reading.selection, Parameters()
    statement = f"SELECT {VISIT_COUNTS} FROM {selection.visits(parameters)}"
    [visits] = reading.rows(statement, parameters)
    share, parameters = visitor_share(visits[0]), Parameters()
    statement = f"SELECT {ACTIVITY_COUNTS}, {count_visitors(share)} FROM {selection.activity(parameters)}"
    [activity] = reading.rows(statement, parameters)
    return figures_of(activity, visits, share)


def _points(reading: Reading, edges: Sequence[datetime]) -> list[Figures]:
    selection, parameters = reading.selection, Parameters()
    statement = f"""
        SELECT {bucket_of("started_ms", edges, parameters)}, {VISIT_COUNTS}
        FROM {selection.visits(parameters)} GROUP BY 1
    """
    visits = {row[0]: row[1:] for row in reading.rows(statement, parameters)}
    share, parameters = visitor_share(sum(row[0] for row in visits.values())), Parameters()
    statement = f"""
        SELECT {bucket_of("visited_ms", edges, parameters)}, {ACTIVITY_COUNTS}, {count_visitors(share)}
        FROM {selection.activity(parameters)} GROUP BY 1
    """
    activity = {row[0]: row[1:] for row in reading.rows(statement, parameters)}
    return [figures_of(activity.get(index), visits.get(index), share) for index in range(len(edges) - 1)]


def _page_points(reading: Reading, edges: Sequence[datetime], points_limit: int) -> list[tuple[Any, ...]]:
    selection, parameters = reading.selection, Parameters()
    statement = f"""
        SELECT page, {bucket_of("visited_ms", edges, parameters)}, count(*) FROM {selection.activity(parameters)}
        WHERE kind = {Kind.PAGEVIEW.value}
        GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {parameters.add(points_limit + 1)}
    """
    return reading.rows(statement, parameters)
