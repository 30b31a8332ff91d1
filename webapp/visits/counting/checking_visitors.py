"""Whether sketches of visitors say as many as raw rows do: exactly while they are exact, within their error beyond."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
import psycopg

from webapp.visits.counting.capping import OTHER_VALUE
from webapp.visits.counting.comparing import BucketDifference, Month
from webapp.visits.counting.raw_tally import RawTally
from webapp.visits.counting.sketches import EXACT_LIMIT, LG_K, UnreadableSketchError, count_visitors
from webapp.visits.models import Grain

TOLERATED = 5 * 1.04 / math.sqrt(2**LG_K)
"""The stated error is that of 19 in 20; of the hundred thousands of sketches that there are none may alarm anybody."""
GRAINS = [grain.value for grain in Grain]
Connection = psycopg.Connection[Any]
Key = tuple[Any, ...]
"""Grain, bucket, and of something named its dimension and value."""


def find_visitor_differences(connection: Connection, month: Month, raw: RawTally) -> list[BucketDifference]:
    """Of the site's buckets, and of custom events and products."""
    site = _sketches(connection, SITE_SKETCHES, month)
    named = _sketches(connection, NAMED_SKETCHES, month)
    folded = {(dimension, bucket) for _, bucket, dimension, value in named if value == OTHER_VALUE}
    folded |= {(dimension, month.start_ms) for dimension, _ in folded}
    counted = {key: sketch for key, sketch in named.items() if (key[2], key[1]) not in folded}
    expected = {key: n for key, n in _named_counts(raw.named) if (key[2], key[1]) not in folded}
    return [
        *_compare(month, site, dict(_site_counts(raw.visitors))),
        *_compare(month, counted, expected),
    ]


def _sketches(connection: Connection, query: str, month: Month) -> dict[Key, bytes]:
    return {tuple(key): sketch for sketch, *key in connection.execute(query, month.bounds)}


def _site_counts(visitors: pl.DataFrame) -> Iterator[tuple[Key, int]]:
    for grain in GRAINS:
        for bucket, number in visitors.group_by(grain).agg(pl.col("visitor").n_unique()).iter_rows():
            yield (grain, bucket), number


def _named_counts(named: pl.DataFrame) -> Iterator[tuple[Key, int]]:
    for grain in (Grain.DAY.value, Grain.MONTH.value):
        groups = named.group_by(grain, "dimension", "value").agg(pl.col("visitor").n_unique())
        for bucket, dimension, value, number in groups.iter_rows():
            yield (grain, bucket, dimension, value), number


def _compare(month: Month, sketches: dict[Key, bytes], expected: dict[Key, int]) -> list[BucketDifference]:
    found = []
    for key in sorted({*sketches, *expected}):
        grain, bucket, *names = key
        if bucket < month.complete_ms:
            continue
        told = _told(sketches.get(key), expected.get(key, 0), is_lenient=_holds_erased(month, grain, bucket))
        if told:
            what = f"{names[0]} “{names[1]}” in the" if names else "the site’s"
            found.append(BucketDifference(f"visitors of {what} {grain} {month.named(grain, bucket)}", told))
    return found


def _told(sketch: bytes | None, number: int, *, is_lenient: bool) -> str:
    """What is wrong; nothing when nothing is."""
    try:
        counted = count_visitors([sketch]) if sketch else 0
    except UnreadableSketchError:
        return f"the sketch cannot be read, {number:,} in raw rows"
    margin = 0 if max(counted, number) <= EXACT_LIMIT else math.ceil(number * TOLERATED)
    is_wrong = counted < number - margin or (counted > number + margin and not is_lenient)
    return f"{counted:,} counted, {number:,} in raw rows" if is_wrong else ""


def _holds_erased(month: Month, grain: str, bucket: int) -> bool:
    """Whether somebody was erased from the bucket, or, of a quarter, from around it."""
    if grain == Grain.MONTH.value:
        return bool(month.erased_days)
    return bucket in month.erased_days or (grain == Grain.QUARTER.value and _day_before(month.erased_days, bucket))


def _day_before(days: Iterable[int], bucket: int) -> bool:
    """Whether one of the days holds this moment; the longest one has 25 hours."""
    return any(day <= bucket < day + 25 * 3_600_000 for day in days)


_WITHIN = """
    WHERE organisation_id = %s AND site_id = %s
    AND bucket_at >= to_timestamp(%s / 1000.0) AND bucket_at < to_timestamp(%s / 1000.0)
"""
_BUCKET = "visitors, grain, (extract(epoch FROM bucket_at) * 1000)::bigint"
SITE_SKETCHES = f"SELECT {_BUCKET} FROM site_roll_ups {_WITHIN}"  # noqa: S608  (put together from the texts above)
NAMED_SKETCHES = f"""
    SELECT {_BUCKET}, dimension, value FROM dimension_roll_ups {_WITHIN} AND visitors IS NOT NULL
"""  # noqa: S608
