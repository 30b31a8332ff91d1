"""Adding a tally to the roll-ups: counts by additive upserts in key order, sketches read, merged and written.

One writer at a time does this, under the roll-up's lock. A kept sketch that cannot be read stops no counting: the
bucket goes on with those visitors who come, and the site is marked, to be counted again from its raw rows.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.lib.clock import utc_now
from webapp.visits.counting import capping, roll_up_sql
from webapp.visits.counting.aside import Aside
from webapp.visits.counting.copying import as_csv, copy_csv_in, copy_out
from webapp.visits.counting.product_views import add_product_views, tally_product_views
from webapp.visits.counting.sketches import UnreadableSketchError, merge, merge_readable, sketch_of
from webapp.visits.counting.tallying import (
    DIMENSION_COUNTS,
    PAGE_COUNTS,
    SITE_COUNTS,
    list_named,
    list_visitors,
    tally_dimensions,
    tally_pages,
    tally_sites,
    with_buckets,
)
from webapp.visits.models import OTHER_PAGE_ID, Grain

OTHER_PAGE = OTHER_PAGE_ID.bytes
PAGE_DAY, VALUE_DAY = ["site", "day"], ["site", "day", "dimension"]
logger = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]
Sketches = dict[tuple[UUID, str, int], list[bytes]]


@dataclass(frozen=True)
class Batch:
    """Activity rows and signed visit rows of one organisation's sites, with `site`, a number for each.

    `sites` has each `site` with its `site_id`; `zones` are those in which the sites' days and months are cut.
    What is counted of all sites together, views of products, goes to `held_back` instead, where there is such a list.
    """

    tenant: UUID
    rows: pl.DataFrame
    visits: pl.DataFrame
    sites: pl.DataFrame
    zones: Mapping[int, str]
    held_back: list[pl.DataFrame] | None = None


def add_to_roll_ups(aside: Aside, connection: Connection, batch: Batch) -> None:
    """Count a batch in every roll-up, aside; the caller's transaction has named the tenant."""
    rows = with_buckets(batch.rows, "visited_ms", batch.zones)
    changes = batch.visits.filter(pl.col("sign") != 0)  # what else there is says which visits became one
    visits = with_buckets(changes, "started_ms", batch.zones)
    aside.do(_make_staged, connection)
    pages = tally_pages(rows, visits)
    addresses = as_csv(pages.select("page_id", "page").unique("page_id"))
    pages = pages.drop("page")
    new_page_counts = aside.do(_add_to_pages, connection, batch, pages, addresses, _page_rows(batch, pages))
    values = tally_dimensions(rows, visits)
    aside.do(_add_to_dimensions, connection, batch, values, _value_rows(batch, values), list_named(rows))
    views = tally_product_views(rows, batch.zones)
    if batch.held_back is not None:
        batch.held_back.append(views)
    elif not views.is_empty():
        aside.do(add_product_views, connection, batch.tenant, batch.sites, batch.zones, views)
    sketches = _sketches_of(batch, list_visitors(rows))
    aside.do(_add_to_sites, connection, batch, tally_sites(rows, visits), sketches, new_page_counts)


def _make_staged(connection: Connection) -> None:
    for statement in roll_up_sql.MAKE_STAGED:
        connection.execute(statement)


def _add_to_pages(
    connection: Connection, batch: Batch, tally: pl.DataFrame, addresses: bytes, rows: bytes
) -> pl.DataFrame:
    """Add to pages; how many new ones each site's day counts from now on. `rows` are the tally's, unless it folds."""
    crowd = _crowded_pages(connection, batch, tally)
    if not crowd.is_empty():
        rows = _page_rows(batch, capping.fold(tally, crowd, "page_id", OTHER_PAGE, PAGE_COUNTS))
    _stage(connection, "staged_addresses", addresses)
    _stage(connection, "staged_pages", rows)
    parameters = {"tenant": batch.tenant, "other": OTHER_PAGE_ID}
    counts = connection.execute(roll_up_sql.ADD_TO_PAGES, parameters).fetchall()
    return _on_sites(batch, [(site_id.bytes, day, count) for site_id, day, count in counts], "new_page_count")


def _page_rows(batch: Batch, tally: pl.DataFrame) -> bytes:
    return as_csv(_by_grain(batch, tally, ["page_id"], PAGE_COUNTS))


def _crowded_pages(connection: Connection, batch: Batch, tally: pl.DataFrame) -> pl.DataFrame:
    """Pages without room on their day; their days alone are looked at one by one."""
    seen = tally.group_by("site", "day").agg(n=pl.col("page_id").n_unique())
    days = seen.join(batch.sites, on="site")
    found = connection.execute(
        roll_up_sql.PAGE_COUNTS, [batch.tenant, *_arrays(days, "site_id", "day")], prepare=False
    ).fetchall()
    counts = _on_sites(batch, [(site_id.bytes, day, count) for site_id, day, count in found], "value_count")
    full = seen.join(counts, on=PAGE_DAY, how="left")
    full = full.filter(pl.col("value_count").fill_null(0) + pl.col("n") > capping.PAGE_LIMIT_A_DAY)
    doubtful = tally.join(full, on=PAGE_DAY, how="semi").select("site", "day", "page_id").unique(maintain_order=True)
    if doubtful.is_empty():
        return doubtful
    asked = doubtful.join(batch.sites, on="site").select("site_id", "day", "page_id")
    _stage(connection, "staged_day_pages", as_csv(asked))
    rows = connection.execute(roll_up_sql.COUNTED_PAGES, [batch.tenant]).fetchall()
    known = [(site_id.bytes, day, page_id.bytes) for site_id, day, page_id in rows]
    new = capping.new_values(doubtful, _on_sites(batch, known, "page_id", pl.Binary()), PAGE_DAY, "page_id", OTHER_PAGE)
    return capping.crowded(new, counts, PAGE_DAY, capping.PAGE_LIMIT_A_DAY)


def _add_to_dimensions(
    connection: Connection, batch: Batch, tally: pl.DataFrame, rows: bytes, named: pl.DataFrame
) -> None:
    """`rows` are the tally's, unless it folds."""
    crowd = _crowded_values(connection, batch, tally)
    if not crowd.is_empty():
        rows = _value_rows(batch, capping.fold(tally, crowd, "value", capping.OTHER_VALUE, DIMENSION_COUNTS))
        named = capping.fold(named, crowd, "value", capping.OTHER_VALUE, ())
    _stage(connection, "staged_dimensions", rows)
    connection.execute(roll_up_sql.ADD_TO_DIMENSIONS, {"tenant": batch.tenant})
    _merge_named(connection, batch, named)


def _value_rows(batch: Batch, tally: pl.DataFrame) -> bytes:
    return as_csv(_by_grain(batch, tally, ["dimension", "value"], DIMENSION_COUNTS))


def _crowded_values(connection: Connection, batch: Batch, tally: pl.DataFrame) -> pl.DataFrame:
    """Values without room on their day. Only days with values that they do not know yet are counted."""
    values = tally.select(*VALUE_DAY, "value").unique(maintain_order=True)
    staged = values.join(batch.sites, on="site", maintain_order="left")
    asked = as_csv(staged.select("site_id", "site", "day", "dimension", "value"))
    _stage(connection, "staged_day_values", asked)
    schema = pl.Schema({"site": pl.UInt32(), "day": pl.Int64(), "dimension": pl.String(), "value": pl.String()})
    known = copy_out(connection, roll_up_sql.COUNTED_VALUES, [batch.tenant], schema)
    new = capping.new_values(values, known, VALUE_DAY, "value", capping.OTHER_VALUE)
    if new.is_empty():
        return new
    days = new.select(VALUE_DAY).unique().join(batch.sites, on="site")
    found = connection.execute(
        roll_up_sql.VALUE_COUNTS,
        [*_arrays(days, "site_id", "day", "dimension"), batch.tenant, capping.OTHER_VALUE],
        prepare=False,
    ).fetchall()
    counts = [(site_id.bytes, day, dimension, count) for site_id, day, dimension, count in found]
    kept = pl.DataFrame(
        counts,
        schema={"site_id": pl.Binary, "day": pl.Int64, "dimension": pl.String, "value_count": pl.Int64},
        orient="row",
    ).join(batch.sites, on="site_id")
    return capping.crowded(new, kept, VALUE_DAY, capping.VALUE_LIMIT_A_DAY)


def _merge_named(connection: Connection, batch: Batch, named: pl.DataFrame) -> None:
    """Sketches of the visitors of custom events and products."""
    named = named.filter(pl.col("dimension") != "property")
    if named.is_empty():
        return
    made: dict[tuple[UUID, str, int, str, str], list[bytes]] = {}
    ids = _site_ids(batch)
    for grain in (Grain.DAY, Grain.MONTH):
        groups = named.group_by("site", grain.value, "dimension", "value").agg(pl.col("visitor").unique())
        for site, bucket, dimension, value, visitors in groups.iter_rows():
            made[ids[site], grain.value, bucket, dimension, value] = [sketch_of(visitors)]
    keys = sorted(made)
    arrays = [list(column) for column in zip(*keys, strict=True)]
    for *key, sketch in connection.execute(roll_up_sql.NAMED_SKETCHES, [*arrays, batch.tenant], prepare=False):
        made[tuple(key)].append(sketch)
    merged = _merge_all(connection, batch, [(key[0], made[key]) for key in keys])
    connection.execute(roll_up_sql.SET_NAMED_SKETCHES, [*arrays, merged, batch.tenant])


def _add_to_sites(
    connection: Connection, batch: Batch, tally: pl.DataFrame, sketches: Sketches, page_counts: Future[pl.DataFrame]
) -> None:
    """Counts are added by the upsert; sketches are merged here."""
    parts = []
    for grain in Grain:
        counts = tally.rename({grain.value: "bucket"}).group_by("site", "bucket").agg(pl.col(SITE_COUNTS).sum())
        parts.append(counts.with_columns(grain=pl.lit(grain.value)))
    counts = pl.concat(parts).join(
        page_counts.result().rename({"day": "bucket"}).with_columns(grain=pl.lit(Grain.DAY.value)),
        on=["site", "bucket", "grain"], how="left",
    ).with_columns(pl.col("new_page_count").fill_null(0)).join(batch.sites, on="site")  # fmt: skip
    counts = counts.sort("site_id", "grain", "bucket")
    arrays = _arrays(counts, "site_id", "grain", "bucket")
    keys = list(zip(*arrays, strict=True))
    for site_id, grain, bucket, kept in connection.execute(
        roll_up_sql.SKETCHES, [*arrays, batch.tenant], prepare=False
    ):
        sketches.setdefault((site_id, grain, bucket), []).append(kept)
    merged = _merge_all(connection, batch, [(key[0], sketches.get(key, [])) for key in keys])
    numbers = [counts.get_column(name).to_list() for name in (*SITE_COUNTS, "new_page_count")]
    connection.execute(roll_up_sql.ADD_TO_SITES, [batch.tenant, *arrays, *numbers, merged], binary=True)


def _sketches_of(batch: Batch, visitors: pl.DataFrame) -> Sketches:
    """The visitors of each bucket as sketches still to be merged."""
    ids = _site_ids(batch)
    sketches: Sketches = {}
    groups = visitors.group_by("site", "quarter", "day", "month").agg("visitor")
    for site, quarter, day, month, numbers in groups.iter_rows():
        sketch = sketch_of(numbers)
        for grain, bucket in ((Grain.QUARTER, quarter), (Grain.DAY, day), (Grain.MONTH, month)):
            sketches.setdefault((ids[site], grain.value, bucket), []).append(sketch)
    return sketches


def _merge_all(connection: Connection, batch: Batch, groups: list[tuple[Any, list[bytes]]]) -> list[bytes]:
    """Each group of a site's sketches as one, of those that can be read; sites with others are marked."""
    merged, broken = [], set()
    for site_id, sketches in groups:
        try:
            merged.append(_merged(sketches))
        except UnreadableSketchError:
            broken.add(site_id)
            merged.append(merge_readable(sketches))
    if broken:
        logger.error("Sketches of the sites %s cannot be read; they will be counted again.", sorted(map(str, broken)))
        connection.execute(roll_up_sql.MARK_BROKEN, [utc_now(), batch.tenant, list(broken)])
    return merged


def _merged(sketches: list[bytes]) -> bytes:
    return sketches[0] if len(sketches) == 1 else merge(sketches)


def _by_grain(batch: Batch, tally: pl.DataFrame, key: list[str], counts: tuple[str, ...]) -> pl.DataFrame:
    """The tally's days and months, as their table has them, in the order of its key.

    Where a month has one day in the batch, both count the same: the day's row tells its `month`, which is 0 elsewhere.
    """
    days = tally.select("site", "day", "month").unique()
    only = days.filter(pl.len().over("site", "month") == 1).select(*PAGE_DAY, only="month")
    marked = tally.join(only, on=PAGE_DAY, how="left")
    summed = marked.filter(pl.col("only").is_null()).group_by("site", "month", *key).agg(pl.col(counts).sum())
    columns = ["site", "grain", "bucket", "month", *key, *counts]
    parts = [
        marked.with_columns(grain=pl.lit(Grain.DAY.value), bucket="day", month=pl.col("only").fill_null(0)),
        summed.with_columns(grain=pl.lit(Grain.MONTH.value), bucket="month", month=pl.lit(0, pl.Int64)),
    ]
    rows = pl.concat([part.select(columns) for part in parts]).join(batch.sites, on="site")
    return rows.select("site_id", *columns[1:]).sort("site_id", "grain", "bucket", *key)


def _stage(connection: Connection, table: str, content: bytes) -> None:
    connection.execute(f"TRUNCATE {table}")
    copy_csv_in(connection, table, content)


def _site_ids(batch: Batch) -> dict[int, UUID]:
    return {site: UUID(bytes=site_id) for site, site_id in batch.sites.select("site", "site_id").iter_rows()}


def _arrays(frame: pl.DataFrame, *names: str) -> list[list[object]]:
    """Columns as lists, ids as UUIDs."""
    return [[UUID(bytes=value) if name == "site_id" else value for value in frame.get_column(name)] for name in names]


def _on_sites(batch: Batch, rows: list[tuple[Any, ...]], name: str, kind: pl.DataType | None = None) -> pl.DataFrame:
    """Rows of site, day and something as a frame with the sites' numbers."""
    schema = {"site_id": pl.Binary(), "day": pl.Int64(), name: kind or pl.Int64()}
    found = pl.DataFrame(rows, schema=schema, orient="row")
    return found.join(batch.sites, on="site_id").select("site", "day", name)
