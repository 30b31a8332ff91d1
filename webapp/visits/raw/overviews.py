"""All that a page shows of a range, with one look at its visits and two at its activity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from webapp.visits.models import RawKind
from webapp.visits.questions import FIELDS, PAGE, Figures, Filter, Operator, Overview, Value
from webapp.visits.raw.breakdowns import CAMPAIGN, NAMED, OWN_VISITS, ROW_COUNTS, list_named, merged_places
from webapp.visits.raw.buckets import bucket_of
from webapp.visits.raw.counts import EXACT_VISITS
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, PLACE, TIME_COLUMNS
from webapp.visits.raw.grouped import Counts, count_by
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import ROW_FIELDS, VISIT_FIELDS
from webapp.visits.raw.summary import WHOLE, Buckets, summary_of

BUCKET = "bucket"
USUAL_COLUMNS = {"visited_ms", "kind", "visitor", "engaged_ms"}


def look_over(reading: Reading, edges: Sequence[datetime], fields: Sequence[str], limit: int) -> Overview:
    """The buckets between the edges, all of the range, and the values of the fields that count most."""
    if unknown := [field for field in fields if field not in FIELDS]:
        raise ValueError(f"Visits have no field {unknown[0]!r}.")
    visits = _look_at_visits(reading, edges, fields, limit)
    buckets = _with_whole(visits.pop(BUCKET))
    if _is_worth_keeping(reading.selection.question.filters, buckets[WHOLE][0]):
        reading.keep(RawKind.ACTIVITY, _columns_for(fields))
    summary = summary_of(reading, edges, reading.selection.question.end, buckets)
    rows = _look_at_activity(reading, fields, limit)
    lists = {field: list_named(reading, field, limit) for field in fields if field in NAMED}
    lists |= {field: _list_visits(field, visits[field])[:limit] for field in fields if field in VISIT_FIELDS}
    lists |= {field: merged_places(rows[field], visits[field])[:limit] for field in fields if field in PLACE}
    return Overview(summary, lists | {field: _list_pages(rows[field]) for field in fields if field == PAGE})


def _look_at_visits(
    reading: Reading, edges: Sequence[datetime], fields: Sequence[str], limit: int
) -> dict[str, Counts]:
    """Buckets and places have few values; of sources one more is found, for those that came by no campaign."""
    parameters = Parameters()
    top = [field for field in fields if field in VISIT_FIELDS]
    keys = {field: field for field in fields if field in PLACE or field in VISIT_FIELDS}
    keys[BUCKET] = bucket_of(TIME_COLUMNS[RawKind.VISIT], edges, parameters)
    return count_by(reading, RawKind.VISIT, keys, OWN_VISITS, parameters, top, limit + 1)


def _look_at_activity(reading: Reading, fields: Sequence[str], limit: int) -> dict[str, Counts]:
    keys = {field: field for field in fields if field == PAGE or field in PLACE}
    return count_by(reading, RawKind.ACTIVITY, keys, ROW_COUNTS, Parameters(), [PAGE], limit)


def _with_whole(counts: Counts) -> Buckets:
    """Visits add up."""
    return {**counts, WHOLE: tuple(map(sum, zip((0, 0, 0), *counts.values(), strict=True)))}


def _list_visits(field: str, counts: Counts) -> list[Value]:
    """Most visits come by no campaign: that is no value of one."""
    told = [(value, int(row[0])) for value, row in counts.items() if row[0] > 0 and (value or field not in CAMPAIGN)]
    return [Value(value, Figures(visit_count=count)) for value, count in _ordered(told)]


def _list_pages(counts: Counts) -> list[Value]:
    told = [(page, int(row[0])) for page, row in counts.items() if row[0]]
    return [Value(page, Figures(pageview_count=count)) for page, count in _ordered(told)]


def _ordered(counted: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counted, key=lambda one: (-one[1], one[0]))


def _is_worth_keeping(filters: Sequence[Filter], visit_count: Any) -> bool:
    """Whether activity is written down once, rather than looked for by each statement.

    Where it passes with its visit it is found by a join; of pages and events only few rows have the wanted one. Rows
    of a place lie together, and what is not one value is nearly everything, as is what very many visits did: to write
    that down costs more.
    """
    return visit_count <= EXACT_VISITS and any(
        wanted.field in VISIT_FIELDS or (wanted.field in ROW_FIELDS and wanted.operator is not Operator.IS_NOT)
        for wanted in filters
    )


def _columns_for(fields: Sequence[str]) -> list[str]:
    """The columns of activity that summaries and the lists of these fields name."""
    wanted = {*USUAL_COLUMNS, *fields}.difference(VISIT_FIELDS)
    if not wanted.isdisjoint(NAMED):
        wanted |= {"name", "props"}
    return [name for name in ACTIVITY_SCHEMA if name in wanted]
