"""Who is there: visitors of some minutes, what they look at, do, and came from, from raw rows.

Visitors are counted one by one, each with every value that they had; where they came from is told by their last visit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from webapp.visits.backlog import Kind
from webapp.visits.questions import PAGE, Figures, Question, Value
from webapp.visits.raw.reading import Reading, read
from webapp.visits.raw.row_conditions import EVENT, Parameters
from webapp.visits.raw.selection import IS_VISITOR

REFERRER, COUNTRY = "referrer", "country"
MOST_VISITORS = 1_000
"""So many are named one by one at most."""
HAD = {
    PAGE: f"SELECT page AS value, visitor FROM present WHERE kind = {Kind.PAGEVIEW.value}",
    EVENT: f"SELECT name AS value, visitor FROM present WHERE kind = {Kind.EVENT.value} AND name <> ''",
    COUNTRY: "SELECT country AS value, visitor FROM present",
    REFERRER: """
        SELECT arg_max(referrer, started_ms) AS value, visitor FROM (
            SELECT visitor, visit, started_ms, referrer FROM {visits}
            WHERE visitor IN (SELECT visitor FROM present) GROUP BY ALL HAVING sum(sign) > 0
        ) GROUP BY visitor
    """,
}


@dataclass(frozen=True)
class PresentVisitor:
    """A visitor with the page on which something of theirs was counted last."""

    visitor: int
    page: str
    last_at: datetime


@dataclass(frozen=True)
class Presence:
    """Values with how many visitors had them, by field, and the visitors, the latest first."""

    lists: Mapping[str, list[Value]]
    visitors: list[PresentVisitor]


def presence(question: Question, limit: int) -> Presence:
    """Who passes the question, with so many values of each list."""
    return read(question, lambda reading: _presence(reading, limit))


def _presence(reading: Reading, limit: int) -> Presence:
    parameters = Parameters()
    rows = reading.selection.activity(parameters, IS_VISITOR)
    reading.make("present", f"SELECT visited_ms, kind, visitor, page, name, country FROM {rows}", parameters)
    return Presence({field: _list(reading, had, limit) for field, had in HAD.items()}, _list_visitors(reading))


def _list(reading: Reading, had: str, limit: int) -> list[Value]:
    parameters = Parameters()
    if "{visits}" in had:
        had = had.format(visits=reading.selection.visits_nearby(parameters))
    statement = f"""
        SELECT value, count(DISTINCT visitor) FROM ({had}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {parameters.add(limit)}
    """
    return [Value(value, Figures(visitor_count=int(count))) for value, count in reading.rows(statement, parameters)]


def _list_visitors(reading: Reading) -> list[PresentVisitor]:
    statement = f"""
        SELECT visitor, arg_max(page, visited_ms), max(visited_ms) AS last_ms FROM present
        GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT {MOST_VISITORS}
    """
    return [
        PresentVisitor(visitor, page, datetime.fromtimestamp(last_ms / 1000, UTC))
        for visitor, page, last_ms in reading.rows(statement, Parameters())
    ]
