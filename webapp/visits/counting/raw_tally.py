"""A month of a site's raw rows, added up as counting adds up beacons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from webapp.visits.counting.comparing import Month
from webapp.visits.counting.raw_rows import frames_of, read_raw_rows
from webapp.visits.counting.tallying import (
    DIMENSION_COUNTS,
    PAGE_COUNTS,
    list_named,
    list_visitors,
    tally_dimensions,
    tally_pages,
    with_buckets,
)
from webapp.visits.models import Dimension, RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, TIME_COLUMNS, VISIT_SCHEMA

EMPTY = {RawKind.ACTIVITY: pl.DataFrame(schema=ACTIVITY_SCHEMA), RawKind.VISIT: pl.DataFrame(schema=VISIT_SCHEMA)}
PAGE_KEY = ("bucket", "page_id")
VALUE_KEY = ("bucket", "dimension", "value")
VISITOR_KEY = ("quarter", "day", "month", "visitor")
NAMED_KEY = ("day", "month", "dimension", "value", "visitor")


@dataclass
class RawTally:
    """Counts of pages and values by day (`bucket`), and which visitors there were when, and did what."""

    pages: pl.DataFrame
    values: pl.DataFrame
    visitors: pl.DataFrame
    named: pl.DataFrame


def tally_month(month: Month) -> RawTally:
    """All of the month's rows of days that are whole, some hundred thousands at a time."""
    tally = _nothing(month)
    if month.raw_from_ms >= month.end_ms:
        return tally
    span = _moment(month.raw_from_ms), _moment(month.end_ms)
    files = read_raw_rows(month.tenant, month.site_id, span)
    for kind, paths in files.items():
        for frame in frames_of(kind, paths):
            time = pl.col(TIME_COLUMNS[kind])
            _add(tally, month, kind, frame.filter((time >= month.raw_from_ms) & (time < month.end_ms)))
    return tally


def _nothing(month: Month) -> RawTally:
    activity, visits = _cut(month, EMPTY)
    return _tally_of(activity, visits)


def _add(tally: RawTally, month: Month, kind: RawKind, rows: pl.DataFrame) -> None:
    more = _tally_of(*_cut(month, {**EMPTY, kind: rows}))
    tally.pages = _summed([tally.pages, more.pages], PAGE_KEY, PAGE_COUNTS)
    tally.values = _summed([tally.values, more.values], VALUE_KEY, DIMENSION_COUNTS)
    tally.visitors = pl.concat([tally.visitors, more.visitors]).unique()
    tally.named = pl.concat([tally.named, more.named]).unique()


def _tally_of(activity: pl.DataFrame, visits: pl.DataFrame) -> RawTally:
    pages = tally_pages(activity, visits).with_columns(pl.col("page_id").bin.encode("hex"))
    named = list_named(activity).filter(pl.col("dimension") != Dimension.PROPERTY.value)
    return RawTally(
        pages=_summed([pages.rename({"day": "bucket"})], PAGE_KEY, PAGE_COUNTS),
        values=_summed([tally_dimensions(activity, visits).rename({"day": "bucket"})], VALUE_KEY, DIMENSION_COUNTS),
        visitors=list_visitors(activity).select(VISITOR_KEY),
        named=named.select(NAMED_KEY).unique(),
    )


def _cut(month: Month, frames: dict[RawKind, pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Activity, and changes of visits, with their buckets."""
    numbered = {kind: frame.with_columns(site=pl.lit(0, pl.UInt32)) for kind, frame in frames.items()}
    zones = {0: month.zone}
    changes = numbered[RawKind.VISIT].filter(pl.col("sign") != 0)
    return with_buckets(numbered[RawKind.ACTIVITY], "visited_ms", zones), with_buckets(changes, "started_ms", zones)


def _summed(parts: Sequence[pl.DataFrame], key: Sequence[str], counts: Sequence[str]) -> pl.DataFrame:
    together = pl.concat([part.select(*key, *counts) for part in parts])
    return together.group_by(key).agg(pl.col(counts).sum())


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
