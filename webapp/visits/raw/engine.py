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
from webapp.visits.models import RawKind
from webapp.visits.questions import (
    Figures,
    Overview,
    PagePoints,
    Question,
    Summary,
    TooManyPointsError,
    Value,
)
from webapp.visits.raw.breakdowns import list_values
from webapp.visits.raw.buckets import bucket_of
from webapp.visits.raw.counts import ACTIVITY_COUNTS, VISIT_COUNTS, count_visitors, figures_of, visitor_share
from webapp.visits.raw.overviews import look_over
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.summary import summarise
from webapp.visits.raw.visitors import list_by_visitors, list_with_events


def totals(question: Question) -> Figures:
    """All of the range together."""
    return read(question, _totals)


def summary(question: Question, edges: Sequence[datetime], until: datetime) -> Summary:
    """Every bucket between the edges, empty ones too, and everything before a moment together."""
    return read(question, lambda reading: summarise(reading, edges, until))


def points(question: Question, edges: Sequence[datetime]) -> list[Figures]:
    """The figures of every bucket between the edges, empty ones too."""
    return summary(question, edges, question.end).points


def breakdown(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that count most."""
    return read(question, lambda reading: list_values(reading, field, limit))


def overview(question: Question, edges: Sequence[datetime], fields: Sequence[str], limit: int) -> Overview:
    """Buckets, all of them together, and the values of some fields that count most: all from one reading."""
    return read(question, lambda reading: look_over(reading, edges, fields, limit))


def most_visited(question: Question, field: str, limit: int) -> list[Value]:
    """The values of a field that most visitors have, of which nothing but the visitors is told."""
    return read(question, lambda reading: list_by_visitors(reading, field, limit))


def visitors_by(question: Question, field: str) -> list[Value]:
    """The values of a place with the events that were done there, and by how many visitors."""
    return read(question, lambda reading: list_with_events(reading, field))


def page_points(question: Question, edges: Sequence[datetime], points_limit: int) -> PagePoints:
    """For each page the buckets in which it was seen, and how often; raises TooManyPointsError."""
    rows = read(question, lambda reading: _page_points(reading, edges, points_limit))
    if len(rows) > points_limit:
        raise TooManyPointsError(f"This range has more than {points_limit:,} buckets with visits.")
    return {
        page: [(edges[index], count) for _, index, count in found]
        for page, found in groupby(rows, key=lambda row: str(row[0]))
    }


def _totals(reading: Reading) -> Figures:
    parameters = Parameters()
    statement = f"SELECT {VISIT_COUNTS} FROM {reading.table(RawKind.VISIT, parameters)}"
    [visits] = reading.rows(statement, parameters)
    share, parameters = visitor_share(visits[0]), Parameters()
    statement = f"SELECT {ACTIVITY_COUNTS}, {count_visitors(share)} FROM {reading.table(RawKind.ACTIVITY, parameters)}"
    [activity] = reading.rows(statement, parameters)
    return figures_of(activity, visits, share)


def _page_points(reading: Reading, edges: Sequence[datetime], points_limit: int) -> list[tuple[Any, ...]]:
    selection, parameters = reading.selection, Parameters()
    statement = f"""
        SELECT page, {bucket_of("visited_ms", edges, parameters)}, count(*) FROM {selection.activity(parameters)}
        WHERE kind = {Kind.PAGEVIEW.value}
        GROUP BY 1, 2 ORDER BY 1, 2 LIMIT {parameters.add(points_limit + 1)}
    """
    return reading.rows(statement, parameters)
