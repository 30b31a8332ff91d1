"""Whether product views are what raw rows say, by site and day, and whether the totals are what the days say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from webapp.visits.backlog import Kind
from webapp.visits.buckets import QUARTER_MS
from webapp.visits.counting.copying import copy_out
from webapp.visits.counting.product_views import OTHER_SKU, tally_product_views
from webapp.visits.counting.raw_rows import read_raw_rows
from webapp.visits.counting.tallying import with_buckets
from webapp.visits.models import RawKind

Connection = psycopg.Connection[Any]
COUNTED_SCHEMA = pl.Schema({"day": pl.Date(), "sku_key": pl.String(), "counted": pl.Int64()})
SITE = pl.lit(0, pl.UInt32)


@dataclass(frozen=True)
class ViewDifference:
    """A SKU of which counted views and something else differ; on a crowded day, all of its SKUs together."""

    day: date | None
    sku_key: str
    counted: int
    raw: int

    def __str__(self) -> str:
        sku = f"SKU {self.sku_key}" if self.sku_key else "all SKUs together"
        if self.day is None:
            return f"product views of the last 30 days, {sku}: {self.counted:,} in the total, {self.raw:,} by days"
        return f"product views on {self.day}, {sku}: {self.counted:,} counted, {self.raw:,} in raw rows"


def find_view_differences(connection: Connection, tenant: UUID, site_id: UUID) -> list[ViewDifference]:
    """All of a site's days of which there are all raw rows, and whose zone is the site's own.

    On days of people who were erased more may be counted than raw rows tell, and never less.
    """
    found = connection.execute(GET_SITE, [tenant, site_id]).fetchone()
    if found is None:
        return []
    zone, complete_from = found
    first = complete_from.astimezone(ZoneInfo(zone)).date() + timedelta(days=1) if complete_from else date.min
    counted = copy_out(connection, COUNTED_DAYS, [tenant, site_id], COUNTED_SCHEMA)
    counted = counted.with_columns(pl.col("sku_key").fill_null(OTHER_SKU))
    raw = _sum_raw(read_raw_rows(tenant, site_id)[RawKind.ACTIVITY], zone)
    counted, raw = (_together_where_crowded(frame, counted) for frame in (counted, raw))
    both = counted.join(raw, on=["day", "sku_key"], how="full", coalesce=True)
    both = both.with_columns(pl.col("counted", "raw").fill_null(0))
    erased = [day for (day,) in connection.execute(ERASED_DAYS, [zone, tenant, site_id])]
    is_wrong = (pl.col("counted") < pl.col("raw")) | (
        (pl.col("counted") > pl.col("raw")) & ~pl.col("day").is_in(pl.Series(erased, dtype=pl.Date).implode())
    )
    differs = both.filter((pl.col("day") >= first) & is_wrong).sort("day", "sku_key")
    return [ViewDifference(*row) for row in differs.select("day", "sku_key", "counted", "raw").iter_rows()]


def find_total_differences(connection: Connection, tenant: UUID) -> list[ViewDifference]:
    """Totals that are not what their days add up to."""
    found = connection.execute(WRONG_TOTALS, {"tenant": tenant, "other": OTHER_SKU})
    return [ViewDifference(None, sku_key, counted, int(days)) for sku_key, counted, days in found]


def _sum_raw(paths: list[str], zone: str) -> pl.DataFrame:
    """Views by day and SKU; only the columns of product views are read, a file at a time."""
    schema = {"visited_ms": pl.Int64(), "kind": pl.UInt8(), "name": pl.String()}
    parts = [pl.DataFrame(schema={**schema, "n": pl.Int64()})]
    quarter = (pl.col("visited_ms") - pl.col("visited_ms") % QUARTER_MS).alias("visited_ms")
    for path in paths:
        views = pl.scan_parquet(path).select(*schema).filter(pl.col("kind") == Kind.PRODUCT).collect()
        parts.append(views.group_by(quarter, "kind", "name").agg(n=pl.len().cast(pl.Int64)))
    rows = pl.concat(parts, how="diagonal_relaxed").group_by("visited_ms", "kind", "name").agg(pl.col("n").sum())
    cut = with_buckets(rows.with_columns(site=SITE), "visited_ms", {0: zone})
    tally = tally_product_views(cut, {0: zone}, views=pl.col("n").sum())
    return tally.select("day", "sku_key", raw="view_count")


def _together_where_crowded(frame: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    """On days that count some SKUs together only the sum can be compared."""
    crowded = counted.filter(pl.col("sku_key") == OTHER_SKU).select("day", is_crowded=pl.lit(value=True)).unique()
    marked = frame.join(crowded, on="day", how="left")
    key = pl.when(pl.col("is_crowded").is_not_null()).then(pl.lit(OTHER_SKU)).otherwise(pl.col("sku_key"))
    return marked.group_by("day", key.alias("sku_key")).agg(pl.col(frame.columns[-1]).sum())


GET_SITE = """
    SELECT coalesce(cut_zone, time_zone), raw_complete_from FROM sites WHERE organisation_id = %s AND id = %s
"""
ERASED_DAYS = """
    SELECT DISTINCT (bucket_at AT TIME ZONE %s)::date FROM erased_counts WHERE organisation_id = %s AND site_id = %s
"""
COUNTED_DAYS = "SELECT day, sku_key, view_count FROM product_view_days WHERE organisation_id = %s AND site_id = %s"
WRONG_TOTALS = """
    SELECT sku_key, coalesce(t.view_count, 0), coalesce(d.view_count, 0)
    FROM (SELECT sku_key, view_count FROM product_view_totals WHERE organisation_id = %(tenant)s) AS t
    FULL JOIN (
        SELECT d.sku_key, sum(d.view_count) AS view_count
        FROM product_view_days d
        JOIN product_view_windows w ON w.organisation_id = %(tenant)s AND w.site_id = d.site_id AND w.first_day <= d.day
        WHERE d.organisation_id = %(tenant)s AND d.sku_key <> %(other)s
        GROUP BY d.sku_key
    ) AS d USING (sku_key)
    WHERE t.view_count IS DISTINCT FROM d.view_count
    ORDER BY sku_key
"""
