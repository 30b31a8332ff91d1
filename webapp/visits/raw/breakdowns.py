"""The values of one field that count most, from raw rows.

Pages, events, properties and products are counted among activity, entry and exit pages and sources among visits,
and what is of a place among both. The first statement counts all values, the others ask about those of the list.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.questions import ENTRY_PAGE, FIELDS, PAGE, Value
from webapp.visits.raw.counts import ACTIVITY_COUNTS, VISIT_COUNTS, figures_of, visitor_share
from webapp.visits.raw.frames import PLACE, SOURCE
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.selection import EVENT, IS_VISITOR, PRODUCT, PROPERTY, SEPARATOR, VISIT_FIELDS, Parameters

Counts = dict[str, tuple[Any, ...]]
CAMPAIGN = frozenset(SOURCE) - {"referrer"}
NAMED_COUNTS = "0, count(*), 0"
"""Events and products are counted as events."""
IS_EVENT, IS_PRODUCT = f"kind = {Kind.EVENT.value}", f"kind = {Kind.PRODUCT.value}"
PROPERTIES = f"""(
    SELECT * REPLACE (name || '{SEPARATOR}' || key || '{SEPARATOR}' || json_extract_string(
        props, '/' || replace(replace(key, '~', '~0'), '/', '~1')
    ) AS name) FROM (SELECT *, unnest(json_keys(props)) AS key FROM {{table}} WHERE {IS_EVENT} AND props <> '')
)"""


@dataclass(frozen=True)
class _OfActivity:
    """Where a field's values are in activity: a column, which rows have one, and what is counted first."""

    column: str
    condition: str = "true"
    counts: str = ACTIVITY_COUNTS
    order: int = 2
    visits_column: str | None = None


OF_ACTIVITY = {
    PAGE: _OfActivity("page", visits_column=ENTRY_PAGE),
    EVENT: _OfActivity("name", IS_EVENT, NAMED_COUNTS, 3),
    PRODUCT: _OfActivity("name", IS_PRODUCT, NAMED_COUNTS, 3),
    PROPERTY: _OfActivity("name", IS_EVENT, NAMED_COUNTS, 3),
    **{name: _OfActivity(name, visits_column=name) for name in PLACE},
}


def list_values(reading: Reading, field: str, limit: int) -> list[Value]:
    """The values of a field that count most, with their figures."""
    if field not in FIELDS:
        raise ValueError(f"Visits have no field {field!r}.")
    return _list_of_visits(reading, field, limit) if field in VISIT_FIELDS else _list_of_activity(reading, field, limit)


def _list_of_activity(reading: Reading, field: str, limit: int) -> list[Value]:
    of = OF_ACTIVITY[field]
    counts = _count_activity(reading, field, limit)
    shares = {value: visitor_share(row[3]) for value, row in counts.items()}
    people = _count_people(reading, field, shares)
    if of.visits_column:
        visits = _count_visits(reading, of.visits_column, counts)
    else:
        visits = {value: (visit_count, 0, 0) for value, (_, visit_count) in people.items()}
    return [
        Value(value, figures_of((*row[:3], people.get(value, (0, 0))[0]), visits.get(value), shares[value]))
        for value, row in counts.items()
    ]


def _count_activity(reading: Reading, field: str, limit: int) -> Counts:
    """Counts and rows of the values that count most."""
    of, parameters = OF_ACTIVITY[field], Parameters()
    statement = f"""
        SELECT {of.column}, {of.counts}, count(*) {_from_activity(reading, field, parameters)}
        GROUP BY 1 HAVING count(*) FILTER (WHERE {IS_VISITOR}) > 0
        ORDER BY {of.order} DESC, 1 LIMIT {parameters.add(limit)}
    """
    return _by_value(reading.rows(statement, parameters))


def _count_people(reading: Reading, field: str, shares: Mapping[str, int]) -> Counts:
    """Distinct visitors, among the share of them that is counted of each value, and distinct visits."""
    if not shares:
        return {}
    of, parameters = OF_ACTIVITY[field], Parameters()
    source = _from_activity(reading, field, parameters)
    visits = "0" if of.visits_column else "count(DISTINCT visit) FILTER (WHERE visit <> 0)"
    statement = f"""
        SELECT {of.column}, count(DISTINCT visitor) FILTER (WHERE {_in_shares(of.column, shares, parameters)}), {visits}
        {source} AND {IS_VISITOR} AND {_is_one_of(of.column, shares, parameters)} GROUP BY 1
    """
    return _by_value(reading.rows(statement, parameters))


def _count_visits(reading: Reading, column: str, values: Iterable[str]) -> Counts:
    """Counts of the visits of some values."""
    if not values:
        return {}
    selection, parameters = reading.selection, Parameters()
    statement = f"""
        SELECT {column}, {VISIT_COUNTS} FROM {selection.visits(parameters)}
        WHERE {_is_one_of(column, values, parameters)} GROUP BY 1
    """
    return _by_value(reading.rows(statement, parameters))


def _from_activity(reading: Reading, field: str, parameters: Parameters) -> str:
    """The rows that have a value of the field."""
    selection, of = reading.selection, OF_ACTIVITY[field]
    table = selection.activity(parameters)
    return f"FROM {PROPERTIES.format(table=table) if field == PROPERTY else table} WHERE {of.condition}"


def _list_of_visits(reading: Reading, field: str, limit: int) -> list[Value]:
    selection, parameters = reading.selection, Parameters()
    statement = f"""
        SELECT {field}, sum(sign * pageview_count), sum(sign * event_count), {VISIT_COUNTS}
        FROM {selection.visits(parameters)} WHERE {_is_told(field)}
        GROUP BY 1 HAVING sum(sign) > 0 ORDER BY 4 DESC, 1 LIMIT {parameters.add(limit)}
    """
    counts = _by_value(reading.rows(statement, parameters))
    shares = {value: visitor_share(row[2]) for value, row in counts.items()}
    people = _count_visitors_of_visits(reading, field, shares)
    return [
        Value(value, figures_of((*row[:2], 0, people.get(value, (0,))[0]), row[2:], shares[value]))
        for value, row in counts.items()
    ]


def _is_told(field: str) -> str:
    """Most visits come by no campaign: that is no value of one."""
    return f"{field} <> ''" if field in CAMPAIGN else "true"


def _count_visitors_of_visits(reading: Reading, field: str, shares: Mapping[str, int]) -> Counts:
    """Distinct visitors with a visit that was not taken back."""
    if not shares:
        return {}
    selection, parameters = reading.selection, Parameters()
    table = selection.visits(parameters)
    statement = f"""
        SELECT value, count(*) FROM (
            SELECT {field} AS value, visitor FROM {table}
            WHERE {_is_one_of(field, shares, parameters)} AND {_in_shares(field, shares, parameters)}
            GROUP BY 1, 2 HAVING sum(sign) > 0
        ) GROUP BY 1
    """
    return _by_value(reading.rows(statement, parameters))


def _in_shares(column: str, shares: Mapping[str, int], parameters: Parameters) -> str:
    """Whether a row's visitor is among those that are counted of its value."""
    by_share: dict[int, list[str]] = defaultdict(list)
    for value, share in shares.items():
        by_share[share].append(value)
    if set(by_share) == {1}:
        return "true"
    parts = [
        f"({_is_one_of(column, values, parameters)} AND visitor & {share - 1} = 0)"
        for share, values in by_share.items()
    ]
    return f"({' OR '.join(parts)})"


def _is_one_of(column: str, values: Iterable[str], parameters: Parameters) -> str:
    return f"{column} IN ({', '.join(parameters.add(value) for value in values)})"


def _by_value(rows: list[tuple[Any, ...]]) -> Counts:
    return {row[0]: row[1:] for row in rows}
