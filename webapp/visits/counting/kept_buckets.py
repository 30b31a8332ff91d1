"""Days and months that stay when a site's time zone changes, because their raw rows are gone.

The site's own are added up anew from its quarters of an hour, which every zone's days are made of. Pages and
dimensions have no quarters: their days and months become those of the same date, which is off by the difference of
the zones and neither loses nor doubles anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg

from webapp.visits.buckets import local_midnight
from webapp.visits.counting.sketches import merge_readable
from webapp.visits.counting.tallying import DIMENSION_COUNTS, PAGE_COUNTS, SITE_COUNTS
from webapp.visits.models import OTHER_PAGE_ID, Grain

FETCHED_ROWS = 1_000
Connection = psycopg.Connection[Any]
Bucket = tuple[datetime, list[int], bytes]
"""When it begins, SITE_COUNTS, and the visitors."""


def cut_kept_anew(connection: Connection, tenant: UUID, site_id: UUID, old: ZoneInfo, new: ZoneInfo) -> None:
    """Let all days and months of a site begin in the new zone; the caller's transaction has named the tenant."""
    for table, (key, counts) in MOVED.items():
        _move(connection, table, key, counts, tenant, site_id, old, new)
    connection.execute(DELETE_WIDE, [tenant, site_id])
    days = list(_add_up(_list_quarters(connection, tenant, site_id), new, is_month=False))
    months = _add_up(days, new, is_month=True)
    for grain, buckets in ((Grain.DAY, days), (Grain.MONTH, months)):
        rows = [[tenant, site_id, grain.value, at, *counts, visitors] for at, counts, visitors in buckets]
        with connection.cursor() as cursor:
            cursor.executemany(INSERT_SITE, rows)
    connection.execute(SET_PAGE_COUNTS, {"tenant": tenant, "site": site_id, "other": OTHER_PAGE_ID})


def _move(
    connection: Connection, table: str, key: str, counts: str, tenant: UUID, site_id: UUID, old: ZoneInfo, new: ZoneInfo
) -> None:
    """By way of a table of this connection's own: on their way, buckets would meet those that have not moved yet."""
    names = {"table": table, "key": key, "counts": counts}
    buckets = [row[0] for row in connection.execute(LIST_BUCKETS.format(**names), [tenant, site_id])]
    moved = [local_midnight(at.astimezone(old).date(), new) for at in buckets]
    connection.execute(TAKE.format(**names), [buckets, moved, tenant, site_id])
    connection.execute(DELETE.format(**names), [tenant, site_id])
    connection.execute(PUT_BACK[table], [tenant, site_id])
    connection.execute("DROP TABLE kept_buckets")


def _list_quarters(connection: Connection, tenant: UUID, site_id: UUID) -> Iterator[Bucket]:
    with connection.cursor(name="kept_quarters") as cursor:
        cursor.itersize = FETCHED_ROWS
        cursor.execute(LIST_QUARTERS, [tenant, site_id])
        for at, *counts, visitors in cursor:
            yield at, counts, visitors


def _add_up(buckets: Iterable[Bucket], zone: ZoneInfo, *, is_month: bool) -> Iterator[Bucket]:
    """Buckets in their order as days or months."""
    for begin, group in groupby(buckets, key=lambda bucket: _begin_of(bucket[0], zone, is_month=is_month)):
        parts = list(group)
        counts = [sum(numbers) for numbers in zip(*(counts for _, counts, _ in parts), strict=True)]
        yield begin, counts, merge_readable(visitors for _, _, visitors in parts)


def _begin_of(at: datetime, zone: ZoneInfo, *, is_month: bool) -> datetime:
    day = at.astimezone(zone).date()
    return local_midnight(day.replace(day=1) if is_month else day, zone)


def _sums(counts: Iterable[str]) -> str:
    return ", ".join(f"sum(r.{name})::bigint AS {name}" for name in counts)


_OWN = "organisation_id = %s AND site_id = %s"
_SITE_NAMES = ", ".join(SITE_COUNTS)
MOVED = {
    "page_roll_ups": ("page_id", _sums(PAGE_COUNTS)),
    "dimension_roll_ups": (
        "dimension, value", f"{_sums(DIMENSION_COUNTS)}, (array_agg(r.visitors ORDER BY w.old_at))[1] AS visitors",
    ),
}  # fmt: skip
LIST_BUCKETS = f"SELECT DISTINCT bucket_at FROM {{table}} WHERE {_OWN}"  # noqa: S608  (put together from the names above)
# Some zone left out a whole day once: its date and the next begin in the same moment, and become one.
TAKE = f"""
    CREATE TEMP TABLE kept_buckets ON COMMIT DROP AS
    SELECT r.grain, w.new_at AS bucket_at, {{key}}, {{counts}}
    FROM {{table}} r JOIN unnest(%s::timestamptz[], %s::timestamptz[]) AS w (old_at, new_at) ON w.old_at = r.bucket_at
    WHERE {_OWN} GROUP BY r.grain, w.new_at, {{key}}
"""  # noqa: S608  (put together from the names above)
PUT_BACK = {
    "page_roll_ups": f"""
        INSERT INTO page_roll_ups (organisation_id, site_id, grain, bucket_at, page_id, {", ".join(PAGE_COUNTS)})
        SELECT %s, %s, * FROM kept_buckets
    """,  # noqa: S608  (put together from the names above)
    "dimension_roll_ups": f"""
        INSERT INTO dimension_roll_ups (
            organisation_id, site_id, grain, bucket_at, dimension, value, {", ".join(DIMENSION_COUNTS)}, visitors
        )
        SELECT %s, %s, * FROM kept_buckets
    """,  # noqa: S608  (put together from the names above)
}
DELETE = f"DELETE FROM {{table}} WHERE {_OWN}"  # noqa: S608  (put together from the names above)
DELETE_WIDE = f"DELETE FROM site_roll_ups WHERE {_OWN} AND grain <> 'quarter'"  # noqa: S608  (put together from the names above)
LIST_QUARTERS = f"""
    SELECT bucket_at, {_SITE_NAMES}, visitors FROM site_roll_ups WHERE {_OWN} AND grain = 'quarter' ORDER BY bucket_at
"""  # noqa: S608  (put together from the names above)
INSERT_SITE = f"""
    INSERT INTO site_roll_ups (organisation_id, site_id, grain, bucket_at, {_SITE_NAMES}, page_count, visitors)
    VALUES (%s, %s, %s, %s, {", ".join(["%s"] * len(SITE_COUNTS))}, 0, %s)
"""  # noqa: S608  (put together from the names above)
SET_PAGE_COUNTS = """
    UPDATE site_roll_ups s SET page_count = counted.page_count FROM (
        SELECT bucket_at, count(*) AS page_count FROM page_roll_ups
        WHERE organisation_id = %(tenant)s AND site_id = %(site)s AND grain = 'day' AND page_id <> %(other)s
        GROUP BY bucket_at
    ) AS counted
    WHERE s.organisation_id = %(tenant)s AND s.site_id = %(site)s AND s.grain = 'day'
        AND s.bucket_at = counted.bucket_at
"""
