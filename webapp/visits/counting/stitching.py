"""Visits out of activity: what was known before and a batch's rows, as what is known after. Pure functions.

Activity of one visitor on one site belongs together while no gap is longer than 30 minutes. So it does not matter
in which order rows come: a row within reach of a visit widens it, or joins two. A visit is counted from its entry,
the first pageview, custom event or product view; engagement alone is kept, for an entry that may still come.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from webapp.visits.backlog import Kind
from webapp.visits.counting.enrichment import SEPARATOR
from webapp.visits.raw.frames import ATTRIBUTES, VISIT_SCHEMA, VISITOR_KINDS

IDLE_MS = 30 * 60 * 1000
KEPT_SCHEMA = pl.Schema(
    {
        "site": pl.UInt32(),
        "visitor": pl.Int64(),
        "started_ms": pl.Int64(),
        "last_ms": pl.Int64(),
        "entry_ms": pl.Int64(),
        "exit_ms": pl.Int64(),
        "visit": pl.Int64(),
        "pageview_count": pl.Int64(),
        "event_count": pl.Int64(),
        "product_count": pl.Int64(),
        "entry_page": pl.String(),
        "exit_page": pl.String(),
        "attributes": pl.String(),
    }
)
"""Visits as they are kept for stitching; `site` is the site's number within the batch."""
IDENTITY = ("site", "visitor", "started_ms")
COUNTS = ("pageview_count", "event_count", "product_count")
_COUNTS_AS_VISIT = pl.sum_horizontal(COUNTS) > 0
_OF_JOINS = ("started_ms", "visitor", "visit", "joined")
_NOTHING: dict[pl.DataType, pl.Expr] = {
    pl.Int8(): pl.lit(0, pl.Int8),
    pl.Int64(): pl.lit(0, pl.Int64),
    pl.Boolean(): pl.lit(value=False),
    pl.String(): pl.lit(""),
}
_MIX = 0x9E3779B97F4A7C15 - (1 << 64)


@dataclass(frozen=True)
class Stitched:
    """Rows with their `visit` and `is_entry`; kept visits to write and to remove; changes and joins, with `site`."""

    rows: pl.DataFrame
    written: pl.DataFrame
    removed: pl.DataFrame
    changes: pl.DataFrame


def stitch(rows: pl.DataFrame, before: pl.DataFrame) -> Stitched:
    """Rows (with `site`, `visitor`, `visited_ms`, `kind`, `page` and the attributes) join the visits before."""
    items = _clustered(pl.concat([before.with_columns(row=pl.lit(None, pl.UInt32)), _items_of(rows)]))
    after = _add_up(items)
    touched = items.filter(pl.col("row").is_not_null()).select("cluster").unique()
    after = after.join(touched, on="cluster", how="semi")
    old = items.filter(pl.col("row").is_null()).join(touched, on="cluster", how="semi")
    joins = _joins(old, after)
    same = old.join(after, on=KEPT_SCHEMA.names(), how="semi")
    old, new = old.join(same, on="cluster", how="anti"), after.join(same, on="cluster", how="anti")
    return Stitched(
        _with_visits(rows, items, after),
        new.select(KEPT_SCHEMA.names()),
        old.join(new, on=IDENTITY, how="anti").select(IDENTITY),
        pl.concat([_signed(old, -1), _signed(new, 1), joins]),
    )


def _items_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Each row as a visit of its own; without an entry when it is engagement."""
    is_entry = pl.col("kind").is_in([int(kind) for kind in VISITOR_KINDS])
    at, page = pl.col("visited_ms"), pl.when(is_entry).then(pl.col("page")).otherwise(pl.lit(""))
    entry_at = pl.when(is_entry).then(at).otherwise(pl.lit(0))
    attributes = pl.concat_str(ATTRIBUTES, separator=SEPARATOR)
    return rows.select(
        "site", "visitor",
        started_ms=at, last_ms=at, entry_ms=entry_at, exit_ms=entry_at,
        visit=pl.lit(None, pl.Int64),
        pageview_count=(pl.col("kind") == Kind.PAGEVIEW).cast(pl.Int64),
        event_count=(pl.col("kind") == Kind.EVENT).cast(pl.Int64),
        product_count=(pl.col("kind") == Kind.PRODUCT).cast(pl.Int64),
        entry_page=page, exit_page=page,
        attributes=pl.when(is_entry).then(attributes).otherwise(pl.lit("")),
        row=pl.int_range(pl.len(), dtype=pl.UInt32),
    )  # fmt: skip


def _clustered(items: pl.DataFrame) -> pl.DataFrame:
    """Items with the number of the `cluster` that they form: sorted, a new one begins after a gap, or another visitor.

    Visitors are laid end to end on one line of time, so that one running maximum serves all.
    """
    items = items.sort("site", "visitor", "started_ms", "last_ms")
    first, last = items.select(pl.col("started_ms").min(), pl.col("last_ms").max()).row(0)
    stride = last - first + IDLE_MS + 1
    person = ((pl.col("site") != pl.col("site").shift()) | (pl.col("visitor") != pl.col("visitor").shift())).fill_null(
        value=False
    )
    offset = person.cum_sum().cast(pl.Int64) * stride - first
    begins = pl.col("started_ms") + offset
    reached = (pl.col("last_ms") + offset).cum_max().shift()
    return items.with_columns(cluster=(begins > reached + IDLE_MS).fill_null(value=False).cum_sum())


def _add_up(items: pl.DataFrame) -> pl.DataFrame:
    """What each cluster is as one visit; it keeps the number of the earliest known in it."""
    sums = items.group_by("cluster", maintain_order=True).agg(
        pl.col("site", "visitor").first(),
        pl.col("started_ms").min(),
        pl.col("last_ms").max(),
        pl.col("visit").drop_nulls().first(),
        pl.col(COUNTS).sum(),
    )
    counted = items.filter(_COUNTS_AS_VISIT)
    entries = counted.sort("cluster", "entry_ms", "entry_page", "attributes", "row", nulls_last=True)
    entry = entries.unique("cluster", keep="first", maintain_order=True)
    exits = counted.sort("cluster", "exit_ms", "exit_page").unique("cluster", keep="last", maintain_order=True)
    after = sums.join(
        entry.select("cluster", "entry_ms", "entry_page", "attributes", entry_row="row"), on="cluster", how="left"
    ).join(exits.select("cluster", "exit_ms", "exit_page"), on="cluster", how="left")
    number = pl.col("visitor") ^ (pl.col("started_ms") * pl.lit(_MIX, pl.Int64))
    return after.with_columns(
        pl.col("entry_ms", "exit_ms").fill_null(0),
        pl.col("entry_page", "exit_page", "attributes").fill_null(""),
        visit=pl.coalesce("visit", number),
    )


def _with_visits(rows: pl.DataFrame, items: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    visits = after.select("cluster", "entry_row", "visit")
    placed = items.filter(pl.col("row").is_not_null()).select("row", "cluster").join(visits, on="cluster", how="left")
    placed = placed.sort("row")
    is_entry = (placed.get_column("row") == placed.get_column("entry_row")).fill_null(value=False)
    return rows.with_columns(visit=placed.get_column("visit"), is_entry=is_entry)


def _signed(visits: pl.DataFrame, sign: int) -> pl.DataFrame:
    """Visits that count, as rows of a chunk, with their `site`."""
    counted = visits.filter(_COUNTS_AS_VISIT)
    parts = pl.col("attributes").str.split_exact(SEPARATOR, len(ATTRIBUTES) - 1).struct.rename_fields(list(ATTRIBUTES))
    return counted.select(
        "site", "visitor", "visit", "pageview_count", "event_count", "entry_page", "exit_page",
        started_ms=pl.col("entry_ms"),
        sign=pl.lit(sign, pl.Int8),
        joined=pl.lit(0, pl.Int64),
        duration_ms=pl.col("last_ms") - pl.col("entry_ms"),
        is_bounce=(pl.col("pageview_count") == 1) & (pl.col("event_count") == 0),
        parts=parts,
    ).unnest("parts").select("site", *VISIT_SCHEMA.names())  # fmt: skip


def _joins(old: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Where a number goes that a visit no longer bears, as rows of a chunk: activity has it.

    They lie where the visit that it became begins, so that whoever reads that one reads them.
    """
    became = after.select(
        "cluster", joined="visit", at=pl.when(_COUNTS_AS_VISIT).then(pl.col("entry_ms")).otherwise(pl.col("started_ms"))
    )
    gone = old.join(became, on="cluster").filter(pl.col("visit") != pl.col("joined"))
    rest = {name: _NOTHING[kind] for name, kind in VISIT_SCHEMA.items() if name not in _OF_JOINS}
    rows = gone.select("site", "visitor", "visit", "joined", started_ms=pl.col("at"), **rest)
    return rows.select("site", *VISIT_SCHEMA.names())
