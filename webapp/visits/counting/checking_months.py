"""Whether days, months, pages, lists and visitors of a site are what its quarters and raw rows say.

A month of one site at a time, in the zone in which it is cut: so much fits into memory, and no transaction is long.
Of days on which somebody was erased more may be counted than raw rows tell, and never less; of days of which retention
took raw rows only roll-ups are compared with one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from webapp.visits.buckets import day_of, local_midnight, month_of
from webapp.visits.counting.capping import OTHER_VALUE
from webapp.visits.counting.checking_visitors import find_visitor_differences
from webapp.visits.counting.comparing import BucketDifference, Month, difference_of, differing, together_where_crowded
from webapp.visits.counting.copying import copy_out
from webapp.visits.counting.raw_tally import tally_month
from webapp.visits.counting.tallying import DIMENSION_COUNTS, PAGE_COUNTS, SITE_COUNTS
from webapp.visits.models import OTHER_PAGE_ID, Grain

OTHER_PAGE = OTHER_PAGE_ID.hex
DAY, MONTH, QUARTER = Grain.DAY.value, Grain.MONTH.value, Grain.QUARTER.value
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Table:
    """Roll-ups of something by day and month: what tells its rows apart, and what stands for those without room."""

    counts: tuple[str, ...]
    key: tuple[str, ...]
    query: str
    crowd_key: tuple[str, ...]
    other: str

    @property
    def value(self) -> str:
        return self.key[-1]


def list_months(connection: Connection, tenant: UUID, site_id: UUID) -> list[date]:
    """The first days of all months of which something of the site is counted."""
    found = connection.execute(EXTENT, {"tenant": tenant, "site": site_id}).fetchone()
    if found is None or found[1] is None:
        return []
    first, last = (at.astimezone(ZoneInfo(found[0])).date().replace(day=1) for at in found[1:])
    months = [first]
    while months[-1] < last:
        months.append((months[-1] + timedelta(days=31)).replace(day=1))
    return months


def find_month_differences(
    connection: Connection, tenant: UUID, site_id: UUID, first_day: date
) -> list[BucketDifference]:
    """All of one month. The transaction sees one moment (REPEATABLE READ)."""
    month = _month_of(connection, tenant, site_id, first_day)
    if month is None:
        return []
    raw = tally_month(month)
    differences = _find_of_site(connection, month)
    for table, counted in ((PAGES, raw.pages), (VALUES, raw.values)):
        differences += _find_in_table(connection, month, table, counted)
    return differences + find_visitor_differences(connection, month, raw)


def _month_of(connection: Connection, tenant: UUID, site_id: UUID, first_day: date) -> Month | None:
    found = connection.execute(GET_SITE, [tenant, site_id]).fetchone()
    if found is None:
        return None
    zone, complete_from = found
    after = (first_day + timedelta(days=31)).replace(day=1)
    start, end = (_milliseconds(local_midnight(day, ZoneInfo(zone))) for day in (first_day, after))
    complete_ms = 0
    if complete_from:
        whole = complete_from.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
        complete_ms = _milliseconds(local_midnight(whole, ZoneInfo(zone)))
    erased = connection.execute(ERASED, [tenant, site_id, start, end]).fetchall()
    days = sorted({day_of(zone, _milliseconds(at)) for (at,) in erased})
    return Month(tenant, site_id, zone, start, end, complete_ms, tuple(days))


def _find_of_site(connection: Connection, month: Month) -> list[BucketDifference]:
    """Days and months against the sums of their quarters."""
    schema = pl.Schema({"grain": pl.String(), "bucket": pl.Int64(), **dict.fromkeys(SITE_COUNTS, pl.Int64())})
    rows = copy_out(connection, SITE_ROWS, month.bounds, schema)
    quarters = rows.filter(pl.col("grain") == QUARTER)
    found = []
    for grain, cut in ((DAY, day_of), (MONTH, month_of)):
        begin = pl.Series("bucket", [cut(month.zone, at) for at in quarters.get_column("bucket")], pl.Int64)
        summed = quarters.with_columns(begin).group_by("bucket").agg(pl.col(SITE_COUNTS).sum())
        counted = rows.filter(pl.col("grain") == grain).drop("grain")
        for row in differing(counted, summed, ["bucket"], SITE_COUNTS).iter_rows(named=True):
            place = f"the site’s {grain} {month.named(grain, row['bucket'])}"
            found.append(difference_of(place, row, SITE_COUNTS, "in its quarters of an hour"))
    return found


def _find_in_table(connection: Connection, month: Month, table: Table, raw: pl.DataFrame) -> list[BucketDifference]:
    """Days against raw rows, and months against the sums of their days."""
    texts = dict.fromkeys(table.key, pl.String())
    schema = pl.Schema({"grain": pl.String(), "bucket": pl.Int64(), **texts, **dict.fromkeys(table.counts, pl.Int64())})
    rows = copy_out(connection, table.query, month.bounds, schema).with_columns(pl.col(table.key).fill_null(""))
    days = rows.filter(pl.col("grain") == DAY).drop("grain")
    key = ["bucket", *table.key]
    crowd_key = ["bucket", *table.crowd_key]
    compared = days.filter(pl.col("bucket") >= month.complete_ms)
    crowded = compared.filter(pl.col(table.value) == table.other).select(crowd_key).unique()
    left, right = (together_where_crowded(side, crowded, key, table.counts, table.other) for side in (compared, raw))
    lenient = pl.col("bucket").is_in(list(month.erased_days))
    found = _told(connection, month, table, DAY, differing(left, right, key, table.counts, lenient), "in raw rows")
    summed = days.with_columns(bucket=pl.lit(month.start_ms, pl.Int64)).group_by(key).agg(pl.col(table.counts).sum())
    months = rows.filter(pl.col("grain") == MONTH).drop("grain")
    wrong = differing(months, summed, key, table.counts)
    return found + _told(connection, month, table, MONTH, wrong, "in its days")


def _told(
    connection: Connection, month: Month, table: Table, grain: str, wrong: pl.DataFrame, source: str
) -> list[BucketDifference]:
    urls = _urls(connection, month, wrong) if table is PAGES else {}
    told = []
    for row in wrong.iter_rows(named=True):
        when = month.named(grain, row["bucket"])
        if table is PAGES:
            place = f"page {urls.get(row['page_id'], row['page_id'])} in the {grain} {when}"
        else:
            place = f"{row['dimension']} “{row['value']}” in the {grain} {when}"
        told.append(difference_of(place, row, table.counts, source))
    return told


def _urls(connection: Connection, month: Month, wrong: pl.DataFrame) -> dict[str, str]:
    ids = [UUID(hex=text) for text in wrong.get_column("page_id").unique().to_list()]
    found = connection.execute(URLS, [month.tenant, ids]).fetchall() if ids else []
    return {OTHER_PAGE: "(other)", **{page_id.hex: url for page_id, url in found}}


def _milliseconds(at: datetime) -> int:
    return round(at.astimezone(UTC).timestamp() * 1000)


GET_SITE = """
    SELECT coalesce(cut_zone, time_zone), raw_complete_from FROM sites WHERE organisation_id = %s AND id = %s
"""
EXTENT = """
    SELECT coalesce(s.cut_zone, s.time_zone), least(r.first_at, p.first_at), greatest(r.last_at, p.last_at)
    FROM sites s, (
        SELECT min(bucket_at) AS first_at, max(bucket_at) AS last_at FROM site_roll_ups
        WHERE organisation_id = %(tenant)s AND site_id = %(site)s
    ) AS r, (
        SELECT min(bucket_at) AS first_at, max(bucket_at) AS last_at FROM page_roll_ups
        WHERE organisation_id = %(tenant)s AND site_id = %(site)s AND grain = 'day'
    ) AS p
    WHERE s.organisation_id = %(tenant)s AND s.id = %(site)s
"""
_WITHIN = """
    WHERE organisation_id = %s AND site_id = %s
    AND bucket_at >= to_timestamp(%s / 1000.0) AND bucket_at < to_timestamp(%s / 1000.0)
"""
_BUCKET = "grain, (extract(epoch FROM bucket_at) * 1000)::bigint"
ERASED = f"SELECT bucket_at FROM erased_counts {_WITHIN}"  # noqa: S608  (put together from the texts above, as below)
SITE_ROWS = f"SELECT {_BUCKET}, {', '.join(SITE_COUNTS)} FROM site_roll_ups {_WITHIN}"  # noqa: S608
PAGE_ROWS = f"""
    SELECT {_BUCKET}, encode(uuid_send(page_id), 'hex'), {", ".join(PAGE_COUNTS)} FROM page_roll_ups {_WITHIN}
"""  # noqa: S608
VALUE_ROWS = f"SELECT {_BUCKET}, dimension, value, {', '.join(DIMENSION_COUNTS)} FROM dimension_roll_ups {_WITHIN}"  # noqa: S608
URLS = "SELECT id, url FROM pages WHERE organisation_id = %s AND id = ANY(%s::uuid[])"
PAGES = Table(PAGE_COUNTS, ("page_id",), PAGE_ROWS, (), OTHER_PAGE)
VALUES = Table(DIMENSION_COUNTS, ("dimension", "value"), VALUE_ROWS, ("dimension",), OTHER_VALUE)
