"""The values of any field with the most visitors, from raw rows: on demand, since it is dear where rows are many.

Of every value visitors are counted one by one up to a number of rows, and beyond it among a share of them that their
own numbers choose, which `is_estimate` says. Which values have the most is found among one share of all visitors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from webapp.visits.models import RawKind
from webapp.visits.questions import PAGE, Figures, Value
from webapp.visits.raw.breakdowns import CAMPAIGN, IS_EVENT, IS_PAGEVIEW, NAMED, PROPERTIES
from webapp.visits.raw.counts import count_visitors, visitor_share
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import PROPERTY, Parameters
from webapp.visits.raw.selection import IS_VISITOR, VISIT_FIELDS

SPARE = 2
"""So many times more values than wanted are counted well, where a share of all visitors put them in order."""


@dataclass(frozen=True)
class _Found:
    """A value with its rows, and its visitors among a share."""

    value: str
    row_count: int
    visitor_count: int


def list_by_visitors(reading: Reading, field: str, limit: int) -> list[Value]:
    """The values of a field that most visitors have. Only visitors are told."""
    share = visitor_share(_count_visits(reading))
    found = _list_found(reading, field, share, limit if share == 1 else SPARE * limit)
    if share == 1:
        return [_value(one.value, one.visitor_count, 1) for one in found]
    shares = {one.value: visitor_share(one.row_count) for one in found}
    counted = _count_in_shares(reading, field, shares)
    values = [_value(value, counted.get(value, 0) * each, each) for value, each in shares.items()]
    return sorted(values, key=lambda one: (-one.figures.visitor_count, one.value))[:limit]


def list_with_events(reading: Reading, field: str) -> list[Value]:
    """Every value of a place with its events and their visitors, among the share that the total's are counted from."""
    share, parameters = visitor_share(_count_visits(reading)), Parameters()
    statement = f"""
        SELECT {field}, count(*) FILTER (WHERE {IS_EVENT}), {count_visitors(share)}
        FROM {reading.table(RawKind.ACTIVITY, parameters)} WHERE {IS_VISITOR} GROUP BY 1 ORDER BY 2 DESC, 1
    """
    return [
        Value(value, Figures(event_count=events, visitor_count=people * share, is_estimate=share > 1))
        for value, events, people in reading.rows(statement, parameters)
    ]


def _count_visits(reading: Reading) -> int:
    parameters = Parameters()
    statement = f"SELECT coalesce(sum(sign), 0) FROM {reading.table(RawKind.VISIT, parameters)}"
    [[count]] = reading.rows(statement, parameters)
    return int(count)


def _list_found(reading: Reading, field: str, share: int, limit: int) -> list[_Found]:
    """Whoever is not in the share is nobody in particular: such rows are added up, and no visitor is counted."""
    parameters = Parameters()
    statement = f"""
        SELECT value, sum(sign), count(visitor) FROM (
            SELECT value, CASE WHEN visitor & {share - 1} = 0 THEN visitor END AS visitor, sum(sign) AS sign
            FROM {_rows_of(reading, field, parameters)} GROUP BY 1, 2 HAVING sum(sign) > 0
        ) GROUP BY 1 ORDER BY 3 DESC, 1 LIMIT {parameters.add(limit)}
    """
    return [_Found(str(value), int(rows), people) for value, rows, people in reading.rows(statement, parameters)]


def _count_in_shares(reading: Reading, field: str, shares: Mapping[str, int]) -> dict[str, int]:
    """Of each value the visitors in its own share."""
    parameters = Parameters()
    values, masks = parameters.add(list(shares)), parameters.add([share - 1 for share in shares.values()])
    statement = f"""
        WITH wanted AS MATERIALIZED (SELECT unnest({values}) AS value, unnest({masks}) AS mask)
        SELECT value, count(*) FROM (
            SELECT value, visitor FROM {_rows_of(reading, field, parameters)} JOIN wanted USING (value)
            WHERE visitor & mask = 0 GROUP BY 1, 2 HAVING sum(sign) > 0
        ) GROUP BY 1
    """
    return {str(value): int(people) for value, people in reading.rows(statement, parameters)}


def _rows_of(reading: Reading, field: str, parameters: Parameters) -> str:
    """A table of `value`, `visitor` and `sign`: who saw a page, did something, came from somewhere or was at a place.

    A visit that changed is taken back as it was: whoever has none left of a value is none of its visitors.
    """
    if field in VISIT_FIELDS:
        table, told = reading.table(RawKind.VISIT, parameters), f"{field} <> ''" if field in CAMPAIGN else "true"
        return f"(SELECT {field} AS value, visitor, sign FROM {table} WHERE {told})"
    table = reading.table(RawKind.ACTIVITY, parameters)
    if field in NAMED:
        table = PROPERTIES.format(table=table) if field == PROPERTY else table
        return f"(SELECT name AS value, visitor, 1 AS sign FROM {table} WHERE {NAMED[field]} AND name <> '')"
    condition = IS_PAGEVIEW if field == PAGE else IS_VISITOR
    return f"(SELECT {field} AS value, visitor, 1 AS sign FROM {table} WHERE {condition})"


def _value(value: str, visitor_count: int, share: int) -> Value:
    return Value(value, Figures(visitor_count=visitor_count, is_estimate=share > 1))
