"""Cutting days and months anew after an organisation changed its time zone, from the quarters of an hour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from webapp.visits.buckets import day_of, local_midnight, month_of
from webapp.visits.models import OTHER_PAGE_ID, Grain
from webapp.visits.sketches import merge

CUTS = {Grain.DAY: day_of, Grain.MONTH: month_of}
QUARTERS_AT_ONCE = 1_000
KEYS = {"page_roll_ups": "page_id", "referrer_roll_ups": "referrer"}


def cut_anew(connection: psycopg.Connection[Any], organisation_id: UUID, zone: str) -> None:
    """Replace all rows of days and months by ones that begin and end at this zone's midnights."""
    for table in ("site_roll_ups", *KEYS):
        connection.execute(_named(DELETE_CUT, table), [organisation_id])
    span = connection.execute(SPAN, [organisation_id]).fetchone()
    if not span or span[0] is None:
        return
    for grain, cut in CUTS.items():
        edges = _edges(zone, grain, span[0], span[1])
        for table, key in KEYS.items():
            connection.execute(
                _named(INSERT_CUT, table, key), [organisation_id, grain.value, edges, edges, organisation_id]
            )
        _cut_sites(connection, organisation_id, grain, partial(cut, zone))


def _edges(zone: str, grain: Grain, first: datetime, last: datetime) -> list[datetime]:
    """Where the zone's days or months begin, from the one that holds `first` to the one that holds `last`."""
    place = ZoneInfo(zone)
    days = range(first.astimezone(place).date().toordinal(), last.astimezone(place).date().toordinal() + 1)
    dates = [datetime.fromordinal(day).date() for day in days]
    if grain is Grain.MONTH:
        dates = sorted({date.replace(day=1) for date in dates})
    return [local_midnight(date, place) for date in dates]


def _cut_sites(
    connection: psycopg.Connection[Any], organisation_id: UUID, grain: Grain, cut: Callable[[int], int]
) -> None:
    """One bucket after the other, since an organisation's sketches together may not fit into memory."""
    for bucket, quarters in groupby(_quarters(connection, organisation_id, cut), key=lambda quarter: quarter[0]):
        site_id, starts_at = bucket
        counts, sketches = zip(*((count, sketch) for _, count, sketch in quarters), strict=True)
        at = datetime.fromtimestamp(starts_at / 1000, UTC)
        connection.execute(INSERT_SITE, [organisation_id, grain.value, site_id, at, sum(counts), merge(sketches)])
    if grain is Grain.DAY:
        connection.execute(COUNT_PAGES, [organisation_id, OTHER_PAGE_ID, organisation_id])


def _quarters(
    connection: psycopg.Connection[Any], organisation_id: UUID, cut: Callable[[int], int]
) -> Iterator[tuple[tuple[UUID, int], int, bytes]]:
    """((site, start of its day or month), pageviews, sketch) of each quarter, those of a bucket together."""
    with connection.cursor(name="quarters") as cursor:
        cursor.itersize = QUARTERS_AT_ONCE
        for site_id, bucket_at, count, sketch in cursor.execute(QUARTERS, [organisation_id]):
            yield (site_id, cut(int(bucket_at.timestamp()) * 1000)), count, sketch


def _named(statement: str, table: str, key: str = "") -> sql.Composed:
    names = {"table": sql.Identifier(table), "key": sql.Identifier(key or table)}
    return sql.SQL(cast("Any", statement)).format(**names)


SPAN = "SELECT min(bucket_at), max(bucket_at) FROM site_roll_ups WHERE organisation_id = %s AND grain = 'quarter'"
DELETE_CUT = "DELETE FROM {table} WHERE organisation_id = %s AND grain IN ('day', 'month')"
INSERT_CUT = """
    INSERT INTO {table} (organisation_id, site_id, grain, bucket_at, {key}, pageview_count)
    SELECT %s, site_id, %s, (%s::timestamptz[])[width_bucket(bucket_at, %s::timestamptz[])], {key}, sum(pageview_count)
    FROM {table} WHERE organisation_id = %s AND grain = 'quarter' GROUP BY 2, 4, 5
"""
QUARTERS = """
    SELECT site_id, bucket_at, pageview_count, visitors FROM site_roll_ups
    WHERE organisation_id = %s AND grain = 'quarter' ORDER BY site_id, bucket_at
"""
INSERT_SITE = """
    INSERT INTO site_roll_ups (organisation_id, grain, page_count, site_id, bucket_at, pageview_count, visitors)
    VALUES (%s, %s, 0, %s, %s, %s, %s)
"""
COUNT_PAGES = """
    UPDATE site_roll_ups s SET page_count = counted.page_count
    FROM (
        SELECT site_id, bucket_at, count(*) AS page_count FROM page_roll_ups
        WHERE organisation_id = %s AND grain = 'day' AND page_id <> %s GROUP BY 1, 2
    ) AS counted
    WHERE s.organisation_id = %s AND s.grain = 'day' AND s.site_id = counted.site_id AND s.bucket_at = counted.bucket_at
"""
