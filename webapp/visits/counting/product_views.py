"""Counting product views SKU by SKU, in the transaction that counts everything else of a batch.

`product_view_days` holds each site's days. `product_view_totals` holds for each SKU the sum of the days since their
site's `first_day`. Whoever changes either holds the organisation's lock, so that a day is part of the
totals or not, and never half. Rows of products are never touched: a total joins them by key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from webapp.lib.clock import utc_now
from webapp.lib.keys import fold_key
from webapp.lib.zones import zone_named
from webapp.visits.backlog import Kind
from webapp.visits.counting import capping
from webapp.visits.counting import product_view_sql as sql
from webapp.visits.counting.copying import copy_in, copy_out

SKU_LIMIT_A_DAY = 25_000
"""So many SKUs a site's day counts one by one, as many as pages; the rest are counted together."""
OTHER_SKU = ""
WINDOW_DAYS = 30
LOCK = 7_305_022
SITE_DAY = ["site", "day"]
TALLY_SCHEMA = pl.Schema(
    {"site": pl.UInt32(), "day": pl.Date(), "sku_key": pl.String(), "sku": pl.String(), "view_count": pl.Int64()}
)
ONE_EACH = pl.len().cast(pl.Int64)
_KNOWN_SCHEMA = pl.Schema({"site_id": pl.String(), "day": pl.Date(), "sku_key": pl.String()})
Connection = psycopg.Connection[Any]


def lock(connection: Connection, tenant: UUID) -> None:
    """Be the only one to change an organisation's product views until this transaction ends."""
    connection.execute(sql.WAIT_FOR_LOCK, [LOCK, str(tenant)])


def first_day_of(now: datetime, zone: str) -> date:
    """The first of the last thirty days of a zone, today being one of them."""
    return now.astimezone(zone_named(zone)).date() - timedelta(days=WINDOW_DAYS - 1)


def tally_product_views(rows: pl.DataFrame, zones: Mapping[int, str], views: pl.Expr = ONE_EACH) -> pl.DataFrame:
    """Views by site, day and SKU of rows with the start of their `day`, in milliseconds; `sku` is one spelling."""
    seen = rows.filter((pl.col("kind") == Kind.PRODUCT) & (pl.col("name") != ""))
    if seen.is_empty():
        return pl.DataFrame(schema=TALLY_SCHEMA)
    counts = seen.group_by("site", "day", "name", maintain_order=True).agg(view_count=views)
    counts = counts.with_columns(sku_key=_fold(counts.get_column("name"))).join(
        _dates(counts.select(SITE_DAY).unique(), zones), on=SITE_DAY, how="left", maintain_order="left"
    )
    grouped = counts.group_by("site", "date", "sku_key", maintain_order=True)
    summed = grouped.agg(pl.col("name").min().alias("sku"), pl.col("view_count").sum())
    return summed.rename({"date": "day"}).select(TALLY_SCHEMA.names())


def add_up_views(tallies: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Tallies of the same sites as one."""
    every = pl.concat([pl.DataFrame(schema=TALLY_SCHEMA), *tallies])
    grouped = every.group_by("site", "day", "sku_key", maintain_order=True)
    return grouped.agg(pl.col("sku").min(), pl.col("view_count").sum()).select(TALLY_SCHEMA.names())


def _fold(names: pl.Series) -> pl.Series:
    """SKUs as products' keys are folded."""
    return pl.Series([fold_key(name.strip()) for name in names], dtype=pl.String)


def _dates(days: pl.DataFrame, zones: Mapping[int, str]) -> pl.DataFrame:
    """The date of each site's day."""
    found = [
        datetime.fromtimestamp(begin / 1000, UTC).astimezone(ZoneInfo(zones[site])).date()
        for site, begin in days.iter_rows()
    ]
    return days.with_columns(date=pl.Series(found, dtype=pl.Date))


def add_product_views(
    connection: Connection, tenant: UUID, sites: pl.DataFrame, zones: Mapping[int, str], tally: pl.DataFrame
) -> None:
    """Add a tally, for whose `site` numbers `sites` has the ids; the caller's transaction has named the tenant."""
    lock(connection, tenant)
    connection.execute(sql.MAKE_STAGED)
    connection.execute("TRUNCATE staged_product_views")
    present = tally.select("site").unique().join(sites, on="site").sort("site_id")
    firsts = [first_day_of(utc_now(), zones[site]) for site in present.get_column("site")]
    ids = [UUID(bytes=site_id) for site_id in present.get_column("site_id")]
    connection.execute(sql.BEGIN_WINDOWS, [tenant, ids, firsts])
    folded = _fold_crowd(connection, tenant, tally.join(sites, on="site", maintain_order="left"))
    copy_in(connection, "staged_product_views", folded.select("site_id", "day", "sku_key", "sku", "view_count"))
    connection.execute(sql.ADD, {"tenant": tenant, "other": OTHER_SKU})


def _fold_crowd(connection: Connection, tenant: UUID, tally: pl.DataFrame) -> pl.DataFrame:
    """The tally with SKUs without room on their day counted together."""
    crowd = _crowded(connection, tenant, tally)
    if crowd.is_empty():
        return tally
    marked = tally.join(crowd.with_columns(is_crowd=pl.lit(value=True)), on=crowd.columns, how="left")
    is_crowd = pl.col("is_crowd").is_not_null()
    other = pl.lit(OTHER_SKU)
    marked = marked.with_columns(
        pl.when(is_crowd).then(other).otherwise(pl.col(name)).alias(name) for name in ("sku_key", "sku")
    )
    return marked.group_by("site_id", "day", "sku_key", "sku").agg(pl.col("view_count").sum())


def _crowded(connection: Connection, tenant: UUID, tally: pl.DataFrame) -> pl.DataFrame:
    """SKUs for which their day has no room; only those of days that may be full are looked at one by one."""
    key = ["site_id", "day"]
    days = tally.group_by(key, maintain_order=True).agg(n=pl.len())
    found = connection.execute(sql.SKU_COUNTS, [tenant, *_arrays(days.select(key))], prepare=False).fetchall()
    counts = pl.DataFrame(
        [(site_id.bytes, day, count) for site_id, day, count in found],
        schema={"site_id": pl.Binary, "day": pl.Date, "value_count": pl.Int64},
        orient="row",
    )
    full = days.join(counts, on=key, how="left").filter(
        pl.col("value_count").fill_null(0) + pl.col("n") > SKU_LIMIT_A_DAY
    )
    doubtful = tally.join(full, on=key, how="semi", maintain_order="left").select(*key, "sku_key")
    if doubtful.is_empty():
        return doubtful
    known = copy_out(connection, sql.KNOWN_SKUS, [*_arrays(doubtful), tenant], _KNOWN_SCHEMA)
    ids = [UUID(site_id).bytes for site_id in known.get_column("site_id")]
    known = known.with_columns(site_id=pl.Series(ids, dtype=pl.Binary))
    new = capping.new_values(doubtful, known, key, "sku_key", OTHER_SKU)
    return capping.crowded(new, counts, key, SKU_LIMIT_A_DAY)


def _arrays(frame: pl.DataFrame) -> list[list[object]]:
    """Columns as lists, ids as UUIDs."""
    return [
        [UUID(bytes=value) if name == "site_id" else value for value in frame.get_column(name)]
        for name in frame.columns
    ]


def forget_product_views(connection: Connection, tenant: UUID, site_id: UUID, since: date, zone: str) -> None:
    """Forget a site's views since a day, to count them again: with the beginning of time, all of them.

    Its last thirty days are those of `zone` from now on. What stays of them is part of the totals again.
    """
    lock(connection, tenant)
    values = {
        "tenant": tenant, "site": site_id, "since": since, "other": OTHER_SKU,
        "first_day": first_day_of(utc_now(), zone),
    }  # fmt: skip
    for statement in (sql.TAKE_OFF, sql.FORGET_DAYS, sql.FORGET_COUNTS, sql.SET_WINDOW, sql.PUT_BACK, sql.DROP_EMPTY):
        connection.execute(statement, values)


def leave_totals(connection: Connection, tenant: UUID, site_id: UUID) -> None:
    """Take a site that goes for good off the totals; its days then go as its other rows do. Doing it again is right."""
    lock(connection, tenant)
    values = {"tenant": tenant, "site": site_id, "other": OTHER_SKU}
    for statement in (sql.TAKE_OFF, sql.FORGET_WINDOW, sql.DROP_EMPTY):
        connection.execute(statement, values)
