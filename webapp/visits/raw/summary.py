"""A range as a whole and bucket by bucket, with one look at its visits and one at its activity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from webapp.visits.models import RawKind
from webapp.visits.questions import Summary
from webapp.visits.raw.buckets import bucket_of
from webapp.visits.raw.counts import (
    ACTIVITY_COUNTS,
    VISIT_COUNTS,
    figures_of,
    is_counted_visitor,
    visitor_share,
)
from webapp.visits.raw.frames import TIME_COLUMNS
from webapp.visits.raw.reading import Reading
from webapp.visits.raw.row_conditions import Parameters
from webapp.visits.raw.selection import milliseconds

WHOLE = -1
"""Stands in the place of a bucket for the whole range."""
SEEN = """
    SELECT {bucket} AS bucket, {is_within} AS is_within, CASE WHEN {is_counted} THEN visitor END AS visitor, {counts}
    FROM {rows} GROUP BY 1, 2, 3
"""
"""Rows of visitors who are not counted are added up as nobody's: to tell them apart took most of the time."""
SUMS = "sum(pageviews), sum(events), sum(engaged_ms), count({visitors})"
Buckets = dict[int, tuple[Any, ...]]
"""What was counted of each bucket, and of `WHOLE`."""


def summarise(reading: Reading, edges: Sequence[datetime], until: datetime) -> Summary:
    """Every bucket between the edges, and all that happened before a moment."""
    return summary_of(reading, edges, until, _visits(reading, edges, until))


def summary_of(reading: Reading, edges: Sequence[datetime], until: datetime, visits: Buckets) -> Summary:
    """The same, where the visits of each bucket are known."""
    share = visitor_share(sum(row[0] for place, row in visits.items() if place != WHOLE))
    activity = _activity(reading, edges, until, share)
    places = range(len(edges) - 1)
    total, *points = (figures_of(activity.get(place), visits.get(place), share) for place in (WHOLE, *places))
    return Summary(total, points)


def _visits(reading: Reading, edges: Sequence[datetime], until: datetime) -> Buckets:
    parameters = Parameters()
    bucket, is_within = _cut(RawKind.VISIT, reading, edges, until, parameters)
    statement = f"""
        SELECT {bucket}, {is_within}, {VISIT_COUNTS} FROM {reading.table(RawKind.VISIT, parameters)} GROUP BY 1, 2
    """
    found: Buckets = {}
    for place, within, *counts in reading.rows(statement, parameters):
        for key in (place, WHOLE) if within else (place,):
            found[key] = tuple(map(sum, zip(found.get(key, (0, 0, 0)), counts, strict=True)))
    return found


def _activity(reading: Reading, edges: Sequence[datetime], until: datetime, share: int) -> Buckets:
    """Visitors do not add up, so each bucket's are found first, and counted from there."""
    parameters = Parameters()
    bucket, is_within = _cut(RawKind.ACTIVITY, reading, edges, until, parameters)
    seen = SEEN.format(
        bucket=bucket,
        is_within=is_within,
        counts=ACTIVITY_COUNTS,
        is_counted=is_counted_visitor(share),
        rows=reading.table(RawKind.ACTIVITY, parameters),
    )
    once = "visitor" if is_within == "true" else "DISTINCT visitor"
    statement = f"""
        WITH seen AS MATERIALIZED ({seen})
        SELECT bucket, {SUMS.format(visitors=once)} FROM seen GROUP BY 1
        UNION ALL
        SELECT {WHOLE}, {SUMS.format(visitors="DISTINCT visitor")} FROM seen WHERE is_within HAVING count(*) > 0
    """
    return {row[0]: row[1:] for row in reading.rows(statement, parameters)}


def _cut(
    kind: RawKind, reading: Reading, edges: Sequence[datetime], until: datetime, parameters: Parameters
) -> tuple[str, str]:
    """In which bucket a row lies, and whether the total counts it."""
    time = TIME_COLUMNS[kind]
    is_within = "true"
    if until < reading.selection.question.end:
        is_within = f"({time} < {parameters.add(milliseconds(until))})"
    return bucket_of(time, edges, parameters), is_within
