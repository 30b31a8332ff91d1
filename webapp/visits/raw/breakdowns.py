"""The values of fields that count most, from raw rows.

Pages, events, properties and products are counted among activity, entry and exit pages and sources among visits,
and what is of a place among both. What is told of each value says `COUNTED`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from webapp.visits.backlog import Kind
from webapp.visits.models import RawKind
from webapp.visits.questions import ENTRY_PAGE, EXIT_PAGE, FIELDS, PAGE, Figures, Value
from webapp.visits.raw.counts import visitor_share
from webapp.visits.raw.frames import PLACE, SOURCE
from webapp.visits.raw.grouped import Counts, count_by
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import EVENT, PRODUCT, PROPERTY, SEPARATOR, Parameters
from webapp.visits.raw.selection import VISIT_FIELDS

CAMPAIGN = frozenset(SOURCE) - {"referrer"}
IS_PAGEVIEW, IS_EVENT, IS_PRODUCT = (f"kind = {kind.value}" for kind in (Kind.PAGEVIEW, Kind.EVENT, Kind.PRODUCT))
NAMED = {EVENT: IS_EVENT, PROPERTY: IS_EVENT, PRODUCT: IS_PRODUCT}
PROPERTIES = f"""(
    SELECT * REPLACE (name || '{SEPARATOR}' || key || '{SEPARATOR}' || json_extract_string(
        props, '/' || replace(replace(key, '~', '~0'), '/', '~1')
    ) AS name) FROM (SELECT *, unnest(json_keys(props)) AS key FROM {{table}} WHERE {IS_EVENT} AND props <> '')
)"""
ROW_COUNTS = (f"count_if({IS_PAGEVIEW})", f"count_if({IS_EVENT})")
OWN_VISITS = ("sum(sign)", "coalesce(sum(sign) FILTER (WHERE is_bounce), 0)", "sum(sign * duration_ms)")
THEIR_ROWS = "sum(sign * pageview_count)", "sum(sign * event_count)"
TOLD_OF_VISITS = {
    ENTRY_PAGE: OWN_VISITS[:2],
    EXIT_PAGE: OWN_VISITS[:1],
}


def list_values(reading: Reading, field: str, limit: int) -> list[Value]:
    """The values of a field that count most, with their figures."""
    return list_many(reading, [field], limit)[field]


def list_many(reading: Reading, fields: Sequence[str], limit: int) -> dict[str, list[Value]]:
    """The same for several fields; those of places are counted together."""
    if unknown := [field for field in fields if field not in FIELDS]:
        raise ValueError(f"Visits have no field {unknown[0]!r}.")
    found = {field: _list_own(reading, field, limit) for field in fields if field not in PLACE}
    return found | _list_places(reading, [field for field in fields if field in PLACE], limit)


def _list_own(reading: Reading, field: str, limit: int) -> list[Value]:
    if field in VISIT_FIELDS:
        return _list_of_visits(reading, field, limit)
    return _list_pages(reading, limit) if field == PAGE else list_named(reading, field, limit)


def _list_pages(reading: Reading, limit: int) -> list[Value]:
    parameters = Parameters()
    statement = f"""
        SELECT page, count_if({IS_PAGEVIEW}), sum(engaged_ms)
        FROM {reading.table(RawKind.ACTIVITY, parameters)}
        GROUP BY 1 HAVING count_if({IS_PAGEVIEW}) > 0
        ORDER BY 2 DESC, 1 LIMIT {parameters.add(limit)}
    """
    counts = _by_value(reading.rows(statement, parameters))
    entries = _count_entries(reading, counts)
    return [Value(page, _of_page(row, entries.get(page, (0, 0)))) for page, row in counts.items()]


def _of_page(rows: Sequence[Any], entries: Sequence[Any]) -> Figures:
    pageview_count, engaged_ms = map(int, rows)
    visit_count, bounce_count = map(int, entries)
    return Figures(pageview_count, visit_count, bounce_count=bounce_count, engaged_ms=engaged_ms)


def _count_entries(reading: Reading, pages: Iterable[str]) -> Counts:
    if not pages:
        return {}
    parameters = Parameters()
    statement = f"""
        SELECT entry_page, {", ".join(TOLD_OF_VISITS[ENTRY_PAGE])}
        FROM {reading.selection.visits_by_entry(parameters)}
        WHERE {_is_one_of("entry_page", pages, parameters)} GROUP BY 1
    """
    return _by_value(reading.rows(statement, parameters))


def _list_of_visits(reading: Reading, field: str, limit: int) -> list[Value]:
    """Most visits come by no campaign: that is no value of one."""
    told = TOLD_OF_VISITS.get(field, (*OWN_VISITS, *THEIR_ROWS))
    parameters = Parameters()
    statement = f"""
        SELECT {field}, {", ".join(told)} FROM {reading.table(RawKind.VISIT, parameters)}
        WHERE {f"{field} <> ''" if field in CAMPAIGN else "true"}
        GROUP BY 1 HAVING sum(sign) > 0 ORDER BY 2 DESC, 1 LIMIT {parameters.add(limit)}
    """
    counts = _by_value(reading.rows(statement, parameters))
    if field not in TOLD_OF_VISITS and reading.selection.row_filters:
        seen = _count_rows_of_visits(reading, field, counts)
        counts = {value: (*row[:3], *seen.get(value, (0, 0))) for value, row in counts.items()}
    return [Value(value, _of_visits(row)) for value, row in counts.items()]


def _count_rows_of_visits(reading: Reading, field: str, values: Iterable[str]) -> Counts:
    """How many of the rows that pass belong to the visits that came by each value."""
    if not values:
        return {}
    parameters = Parameters()
    selection = reading.selection
    visits = selection.standing_visits(parameters, reading.table(RawKind.VISIT, parameters), field)
    within, after = reading.table(RawKind.ACTIVITY, parameters), selection.passing_rows_after(parameters)
    statement = f"""
        WITH {visits}, seen AS (SELECT visit, kind FROM {within} UNION ALL SELECT visit, kind FROM {after})
        SELECT standing.{field}, {", ".join(ROW_COUNTS)} FROM seen JOIN standing ON standing.number = seen.visit
        WHERE {_is_one_of(f"standing.{field}", values, parameters)} GROUP BY 1
    """
    return _by_value(reading.rows(statement, parameters))


def _of_visits(row: Sequence[Any]) -> Figures:
    """Of as many counts as are told."""
    visit_count, bounce_count, visit_ms, pageview_count, event_count = (*map(int, row), 0, 0, 0, 0)[:5]
    return Figures(pageview_count, visit_count, bounce_count=bounce_count, visit_ms=visit_ms, event_count=event_count)


def _list_places(reading: Reading, fields: Sequence[str], limit: int) -> dict[str, list[Value]]:
    """Countries, devices and the like have few values: all of them are counted, and put in order here."""
    keys = {field: field for field in fields}
    rows = count_by(reading, RawKind.ACTIVITY, keys, ROW_COUNTS, Parameters())
    visits = count_by(reading, RawKind.VISIT, keys, OWN_VISITS, Parameters())
    return {field: merged_places(rows[field], visits[field])[:limit] for field in fields}


def merged_places(rows: Counts, visits: Counts) -> list[Value]:
    """Every value of a place, from what was counted of it among activity and among visits."""
    every = {
        value: _of_place(rows.get(value, (0, 0)), visits.get(value, (0, 0, 0))) for value in rows.keys() | visits.keys()
    }
    told = [
        Value(value, one) for value, one in every.items() if one.visit_count or one.pageview_count or one.event_count
    ]
    return sorted(told, key=lambda one: (-one.figures.visit_count, -one.figures.event_count, one.value))


def _of_place(rows: Sequence[Any], visits: Sequence[Any]) -> Figures:
    pageview_count, event_count = map(int, rows)
    visit_count, bounce_count, visit_ms = map(int, visits)
    return Figures(pageview_count, visit_count, bounce_count=bounce_count, visit_ms=visit_ms, event_count=event_count)


def list_named(reading: Reading, field: str, limit: int) -> list[Value]:
    """Events, properties and products: how often, and of events and products by how many visitors."""
    parameters = Parameters()
    statement = f"""
        SELECT name, count(*) {_from_named(reading, field, parameters)}
        GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {parameters.add(limit)}
    """
    counts = {str(name): int(count) for name, count in reading.rows(statement, parameters)}
    shares = {} if field == PROPERTY else {value: visitor_share(count) for value, count in counts.items()}
    people = _count_people(reading, field, shares)
    return [
        Value(
            value, Figures(event_count=count, visitor_count=people.get(value, 0), is_estimate=shares.get(value, 1) > 1)
        )
        for value, count in counts.items()
    ]


def _count_people(reading: Reading, field: str, shares: Mapping[str, int]) -> dict[str, int]:
    """Distinct visitors of each value, worked out from the share of them that is counted."""
    if not shares:
        return {}
    parameters = Parameters()
    source = _from_named(reading, field, parameters)
    statement = f"""
        SELECT name, count(DISTINCT visitor) FILTER (WHERE {_in_shares(shares, parameters)})
        {source} AND {_is_one_of("name", shares, parameters)} GROUP BY 1
    """
    return {value: int(count) * shares[value] for value, count in reading.rows(statement, parameters)}


def _from_named(reading: Reading, field: str, parameters: Parameters) -> str:
    table = reading.table(RawKind.ACTIVITY, parameters)
    return f"FROM {PROPERTIES.format(table=table) if field == PROPERTY else table} WHERE {NAMED[field]} AND name <> ''"


def _in_shares(shares: Mapping[str, int], parameters: Parameters) -> str:
    """Whether a row's visitor is among those that are counted of its value."""
    by_share: dict[int, list[str]] = defaultdict(list)
    for value, share in shares.items():
        by_share[share].append(value)
    if set(by_share) == {1}:
        return "true"
    parts = [
        f"({_is_one_of('name', values, parameters)} AND visitor & {share - 1} = 0)"
        for share, values in by_share.items()
    ]
    return f"({' OR '.join(parts)})"


def _is_one_of(column: str, values: Iterable[str], parameters: Parameters) -> str:
    return f"{column} IN ({', '.join(parameters.add(value) for value in values)})"


def _by_value(rows: list[tuple[Any, ...]]) -> Counts:
    return {row[0]: row[1:] for row in rows}
