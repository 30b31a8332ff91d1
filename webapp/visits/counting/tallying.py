"""Rows and changed visits of one organisation as what they add to each bucket. Pure functions.

`rows` are activity rows and `visits` signed visit rows, both with `site`, the site's number within the batch. They
may come from the stream or from raw rows: rebuilding adds up what counting added up.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import polars as pl

from webapp.visits.addresses import page_id_of
from webapp.visits.backlog import Kind
from webapp.visits.buckets import QUARTER_MS, day_of, month_of
from webapp.visits.counting.enrichment import SEPARATOR, TEXT_LIMIT
from webapp.visits.models import Dimension, Grain, RawKind
from webapp.visits.raw.frames import PLACE, SOURCE, VISITOR_KINDS

CUTS = {Grain.DAY: day_of, Grain.MONTH: month_of}
BUCKET = ("quarter", "day", "month")
NAMED = {Kind.EVENT: Dimension.EVENT, Kind.PRODUCT: Dimension.PRODUCT}
ALWAYS_KNOWN = frozenset({"referrer", "country", "language", "device", "browser", "system", "screen"})
"""Dimensions of which '' is a value (direct, unknown); of the others it is none."""
SITE_COUNTS = ("pageview_count", "visit_count", "bounce_count", "visit_ms", "event_count", "engaged_ms")
PAGE_COUNTS = (
    "pageview_count", "entry_count", "exit_count", "bounce_count", "engaged_ms", "scroll_sum", "scroll_count",
)  # fmt: skip
DIMENSION_COUNTS = ("pageview_count", "visit_count", "bounce_count", "visit_ms", "event_count")
_PAGEVIEW, _EVENT, _ENGAGEMENT = (pl.col("kind") == kind for kind in (Kind.PAGEVIEW, Kind.EVENT, Kind.ENGAGEMENT))
_SIGN = pl.col("sign").cast(pl.Int64)
_OF_ROWS = {"pageview_count": _PAGEVIEW.cast(pl.Int64).sum(), "event_count": _EVENT.cast(pl.Int64).sum()}
_OF_VISITS = {
    "visit_count": _SIGN.sum(),
    "bounce_count": (_SIGN * pl.col("is_bounce").cast(pl.Int64)).sum(),
    "visit_ms": (_SIGN * pl.col("duration_ms")).sum(),
}
_THEIR_ROWS = {name: (_SIGN * pl.col(name)).sum() for name in ("pageview_count", "event_count")}


def with_buckets(frame: pl.DataFrame, time: str, zones: Mapping[int, str]) -> pl.DataFrame:
    """The frame with the start of each row's quarter, and of its day and month in the site's zone."""
    frame = frame.with_columns(quarter=pl.col(time) - pl.col(time) % QUARTER_MS)
    known = frame.select("site", "quarter").unique()
    pairs = list(known.iter_rows())
    cut = {
        grain.value: pl.Series([cut(zones[site], quarter) for site, quarter in pairs], dtype=pl.Int64)
        for grain, cut in CUTS.items()
    }
    return frame.join(known.with_columns(**cut), on=["site", "quarter"], how="left", maintain_order="left")


def tally_sites(rows: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """Counts by site and quarter, with the day and month of each."""
    key = ["site", *BUCKET]
    parts = [_sum_by(RawKind.ACTIVITY, rows, key), _sum_by(RawKind.VISIT, visits, key)]
    return _sum(parts, key, SITE_COUNTS)


def tally_quarters(kind: RawKind, frame: pl.DataFrame) -> pl.DataFrame:
    """What raw rows of one kind, of one site, add to each `quarter`."""
    return _sum_by(kind, frame, ["quarter"])


def _sum_by(kind: RawKind, frame: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    if kind is RawKind.VISIT:
        return frame.group_by(key).agg(**_OF_VISITS)
    return frame.group_by(key).agg(**_OF_ROWS, engaged_ms=pl.col("engaged_ms").filter(_ENGAGEMENT).sum())


def list_visitors(rows: pl.DataFrame) -> pl.DataFrame:
    """Which visitors each site's quarters saw."""
    seen = rows.filter(pl.col("kind").is_in([int(kind) for kind in VISITOR_KINDS]))
    return seen.select("site", *BUCKET, "visitor").unique()


def tally_pages(rows: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """Counts by site, day, month and page, in the order of pages' first times."""
    key = ["site", "day", "month", "page"]
    engagement = {name: pl.col(name).filter(_ENGAGEMENT).sum() for name in ("engaged_ms", "scroll")}
    seen = rows.filter(_PAGEVIEW | _ENGAGEMENT)
    parts = [
        seen.group_by(key, maintain_order=True)
        .agg(_OF_ROWS["pageview_count"].alias("pageview_count"), **engagement, scroll_count=_ENGAGEMENT.sum())
        .rename({"scroll": "scroll_sum"}),
        visits.rename({"entry_page": "page"}).group_by(key, maintain_order=True)
        .agg(entry_count=_OF_VISITS["visit_count"], bounce_count=_OF_VISITS["bounce_count"]),
        visits.rename({"exit_page": "page"}).group_by(key, maintain_order=True)
        .agg(exit_count=_OF_VISITS["visit_count"]),
    ]  # fmt: skip
    return _with_page_ids(_sum(parts, key, PAGE_COUNTS))


def _with_page_ids(pages: pl.DataFrame) -> pl.DataFrame:
    texts = pages.get_column("page").unique()
    ids = pl.Series("page_id", [page_id_of(text) for text in texts], pl.Binary)
    return pages.join(pl.DataFrame([texts, ids]), on="page", how="left", maintain_order="left")


def tally_dimensions(rows: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """Counts by site, day, month, dimension and value. What brought a visit brought all that it did."""
    key = ["site", "day", "month", "dimension", "value"]
    doings = rows.filter(_PAGEVIEW | _EVENT)
    parts = [_by_value(visits, name, {**_OF_VISITS, **_THEIR_ROWS}) for name in SOURCE]
    for name in PLACE:
        parts += [_by_value(doings, name, _OF_ROWS), _by_value(visits, name, _OF_VISITS)]
    named = list_named(rows)
    parts.append(named.group_by(key).agg(event_count=pl.len().cast(pl.Int64)))
    return _sum(parts, key, DIMENSION_COUNTS)


def _by_value(frame: pl.DataFrame, name: str, counts: Mapping[str, pl.Expr]) -> pl.DataFrame:
    known = frame if name in ALWAYS_KNOWN else frame.filter(pl.col(name) != "")
    counted = known.group_by("site", "day", "month", name, maintain_order=True).agg(**counts)
    return counted.rename({name: "value"}).with_columns(dimension=pl.lit(name))


def list_named(rows: pl.DataFrame) -> pl.DataFrame:
    """Custom events, their properties and product views, one row each, with their visitor."""
    columns = ["site", "day", "month", "dimension", "value", "visitor"]
    parts = [
        rows.filter((pl.col("kind") == kind) & (pl.col("name") != ""))
        .with_columns(dimension=pl.lit(dimension.value), value=pl.col("name"))
        .select(columns)
        for kind, dimension in NAMED.items()
    ]
    told = rows.filter(_EVENT & (pl.col("props") != ""))
    known = told.select("name", "props").unique()
    values = [_properties(name, props) for name, props in known.iter_rows()]
    known = known.with_columns(pl.Series("value", values, pl.List(pl.String))).explode("value").drop_nulls("value")
    properties = told.join(known, on=["name", "props"], how="inner", maintain_order="left")
    parts.append(properties.with_columns(dimension=pl.lit(Dimension.PROPERTY.value)).select(columns))
    return pl.concat(parts)


def _properties(name: str, props: str) -> list[str]:
    told = msgspec.json.decode(props, type=dict[str, str])
    return [SEPARATOR.join((name, key, value))[:TEXT_LIMIT] for key, value in told.items()]


def _sum(parts: list[pl.DataFrame], key: list[str], counts: tuple[str, ...]) -> pl.DataFrame:
    return (
        pl.concat(parts, how="diagonal_relaxed")
        .group_by(key, maintain_order=True)
        .agg(pl.col(counts).fill_null(0).sum().cast(pl.Int64))
    )
