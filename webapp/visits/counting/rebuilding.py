"""Counting a site's roll-ups again from its raw rows: in another time zone, or because they differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from webapp.visits.buckets import local_midnight
from webapp.visits.counting import statements
from webapp.visits.counting.aside import Aside
from webapp.visits.counting.kept_buckets import cut_kept_anew
from webapp.visits.counting.raw_rows import frames_of, read_raw_rows
from webapp.visits.counting.roll_ups import Batch, add_to_roll_ups
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, TIME_COLUMNS, VISIT_SCHEMA

BEGINNING = datetime.fromtimestamp(0, UTC)
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Rebuilt:
    """What was counted again."""

    pageview_count: int
    since: datetime | None
    zone: str


def rebuild_roll_ups(connection: Connection, tenant: UUID, site_id: UUID) -> Rebuilt | None:
    """Replace a site's roll-ups, in its present time zone; None when there is no such site.

    Nothing else is counted meanwhile: it waits in the stream. Roll-ups outlive the raw rows that retention deletes,
    so what lies before the first whole month since then stays as it was counted; another time zone moves it.
    """
    statements.wait_for_lock(connection)
    statements.set_tenant(connection, tenant)
    site = connection.execute(GET_SITE, [tenant, site_id]).fetchone()
    if site is None:
        return None
    zone, cut_zone = site
    files = read_raw_rows(tenant, site_id)
    since = _since(connection, tenant, site_id, ZoneInfo(cut_zone))
    for table in ("site_roll_ups", "page_roll_ups", "dimension_roll_ups"):
        connection.execute(DELETE.format(table=table), [tenant, site_id, since])
    if zone != cut_zone:
        cut_kept_anew(connection, tenant, site_id, ZoneInfo(cut_zone), ZoneInfo(zone))
    pageview_count = _count(connection, tenant, site_id, zone, files, since)
    connection.execute(SET_CUT_ZONE, [zone, tenant, site_id])
    return Rebuilt(pageview_count, None if since == BEGINNING else since, zone)


def _since(connection: Connection, tenant: UUID, site_id: UUID, cut_zone: ZoneInfo) -> datetime:
    """The beginning; or, where retention took raw rows, that of the first month of which it took none.

    Asked for after the raw rows were listed: rows that went meanwhile are listed still, and only pass for missing.
    It is a month as it was cut so far, so that each kept day or month lies wholly before it.
    """
    found = connection.execute(GET_COMPLETE_FROM, [tenant, site_id]).fetchone()
    if found is None or found[0] is None:
        return BEGINNING
    complete_from: datetime = found[0]
    first = complete_from.astimezone(cut_zone).date().replace(day=1)
    begin = local_midnight(first, cut_zone)
    if begin >= complete_from:
        return begin
    return local_midnight((first + timedelta(days=31)).replace(day=1), cut_zone)


def _count(
    connection: Connection, tenant: UUID, site_id: UUID, zone: str, files: dict[RawKind, list[str]], since: datetime
) -> int:
    sites = pl.DataFrame({"site": [0], "site_id": [site_id.bytes]}, schema={"site": pl.UInt32, "site_id": pl.Binary})
    empty = {RawKind.ACTIVITY: pl.DataFrame(schema=ACTIVITY_SCHEMA), RawKind.VISIT: pl.DataFrame(schema=VISIT_SCHEMA)}
    pageview_count = 0
    for kind, paths in files.items():
        for frame in frames_of(kind, paths):
            rows = frame.filter(pl.col(TIME_COLUMNS[kind]) >= int(since.timestamp() * 1000))
            parts = {**empty, kind: rows}
            numbered = {key: part.with_columns(site=pl.lit(0, pl.UInt32)) for key, part in parts.items()}
            batch = Batch(tenant, numbered[RawKind.ACTIVITY], numbered[RawKind.VISIT], sites, {0: zone})
            with Aside() as aside:
                add_to_roll_ups(aside, connection, batch)
            pageview_count += numbered[RawKind.ACTIVITY].filter(pl.col("kind") == 0).height
    return pageview_count


GET_SITE = "SELECT time_zone, coalesce(cut_zone, time_zone) FROM sites WHERE organisation_id = %s AND id = %s"
GET_COMPLETE_FROM = "SELECT raw_complete_from FROM sites WHERE organisation_id = %s AND id = %s"
DELETE = "DELETE FROM {table} WHERE organisation_id = %s AND site_id = %s AND bucket_at >= %s"
SET_CUT_ZONE = "UPDATE sites SET cut_zone = %s, revision = revision + 1 WHERE organisation_id = %s AND id = %s"
