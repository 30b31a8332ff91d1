"""Counting a site's roll-ups again from its raw rows: in another time zone, or because they differ."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import polars as pl
import psycopg

from webapp.lib.ids import uuid7
from webapp.lib.zones import usable_zone
from webapp.visits.backlog import Kind
from webapp.visits.buckets import local_midnight
from webapp.visits.counting import statements
from webapp.visits.counting.aside import Aside
from webapp.visits.counting.kept_buckets import cut_kept_anew
from webapp.visits.counting.product_views import add_product_views, add_up_views, forget_product_views
from webapp.visits.counting.raw_rows import difference, frames_of, read_raw_rows
from webapp.visits.counting.roll_ups import Batch, add_to_roll_ups
from webapp.visits.models import RawKind
from webapp.visits.raw.frames import ACTIVITY_SCHEMA, TIME_COLUMNS, VISIT_SCHEMA

BEGINNING = datetime.fromtimestamp(0, UTC)
ROLL_UPS = ("site_roll_ups", "page_roll_ups", "dimension_roll_ups")
_EMPTY = {RawKind.ACTIVITY: pl.DataFrame(schema=ACTIVITY_SCHEMA), RawKind.VISIT: pl.DataFrame(schema=VISIT_SCHEMA)}
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Rebuilt:
    """What was counted again."""

    pageview_count: int
    since: datetime | None
    zone: str


@dataclass(frozen=True)
class Facts:
    """What a count of a site's raw rows depends on beside them."""

    zone: str
    cut_zone: str
    since: datetime

    @property
    def replaces_whole_buckets(self) -> bool:
        """Whether no bucket that stays as it was counted is one that is counted again."""
        return self.zone == self.cut_zone or self.since == BEGINNING

    @property
    def is_stale(self) -> bool:
        return self.zone != self.cut_zone


def rebuild_roll_ups(connection: Connection, tenant: UUID, site_id: UUID) -> Rebuilt | None:
    """Replace a site's roll-ups, in its present time zone; None when there is no such site.

    Roll-ups outlive the raw rows that retention deletes, so what lies before the first whole month since then stays
    as it was counted; another time zone moves it.

    Raw rows are counted aside, under a number that no site has, while beacons are counted as ever. Then nothing else
    is counted for as long as it takes to add what came meanwhile, and to put the new rows in the place of the old. All
    of it is one transaction: whatever dies leaves what was. Where a bucket would be part kept and part new, or
    where raw rows were erased meanwhile, all is counted while everything else waits.
    """
    statements.set_tenant(connection, tenant)
    files = read_raw_rows(tenant, site_id)
    facts = _facts(connection, tenant, site_id)
    if facts is None:
        return None
    if facts.replaces_whole_buckets:
        aside = uuid7()
        views: list[pl.DataFrame] = []
        pageview_count = _count(connection, tenant, aside, facts, files, views)
        statements.wait_for_lock(connection)
        rest = _count_rest(connection, tenant, site_id, aside, facts, files, views)
        if rest is not None:
            _clear_site(connection, tenant, site_id, facts)
            _move(connection, tenant, aside, site_id, facts, views)
            return _finish(connection, tenant, site_id, facts, pageview_count + rest)
        _clear(connection, tenant, aside, BEGINNING)  # of no use
    return _rebuild_while_all_wait(connection, tenant, site_id)


def _count_rest(
    connection: Connection,
    tenant: UUID,
    site_id: UUID,
    aside: UUID,
    facts: Facts,
    files: dict[RawKind, list[str]],
    views: list[pl.DataFrame],
) -> int | None:
    """Count aside what was counted since the files were listed; None when what is counted aside is of no use."""
    present = read_raw_rows(tenant, site_id)
    if _facts(connection, tenant, site_id) != facts:
        return None
    added = {}
    for kind, paths in present.items():
        try:
            rows = difference(kind, _without(paths, files[kind]), _without(files[kind], paths))
        except FileNotFoundError:  # what took the place of a file may outlive it
            return None
        if rows is None:
            return None
        added[kind] = rows
    return sum(_count_frame(connection, tenant, aside, facts, kind, rows, views) for kind, rows in added.items())


def _without(paths: list[str], others: list[str]) -> list[str]:
    known = set(others)
    return [path for path in paths if path not in known]


def _rebuild_while_all_wait(connection: Connection, tenant: UUID, site_id: UUID) -> Rebuilt | None:
    statements.wait_for_lock(connection)
    files = read_raw_rows(tenant, site_id)
    facts = _facts(connection, tenant, site_id)
    if facts is None:
        return None
    _clear_site(connection, tenant, site_id, facts)
    if facts.is_stale:
        cut_kept_anew(connection, tenant, site_id, ZoneInfo(facts.cut_zone), ZoneInfo(facts.zone))
    return _finish(connection, tenant, site_id, facts, _count(connection, tenant, site_id, facts, files))


def _finish(connection: Connection, tenant: UUID, site_id: UUID, facts: Facts, pageview_count: int) -> Rebuilt:
    connection.execute(SET_CUT_ZONE, [facts.zone, tenant, site_id])
    return Rebuilt(pageview_count, None if facts.since == BEGINNING else facts.since, facts.zone)


def _clear(connection: Connection, tenant: UUID, site_id: UUID, since: datetime) -> None:
    for table in ROLL_UPS:
        connection.execute(DELETE.format(table=table), [tenant, site_id, since])


def _clear_site(connection: Connection, tenant: UUID, site_id: UUID, facts: Facts) -> None:
    """What is to be counted again, and what is noted of it of people who were erased: they are counted no more."""
    _clear(connection, tenant, site_id, facts.since)
    connection.execute(DELETE.format(table="erased_counts"), [tenant, site_id, facts.since])
    first_day = facts.since.astimezone(ZoneInfo(facts.cut_zone)).date()
    forget_product_views(connection, tenant, site_id, first_day, facts.zone)


def _move(
    connection: Connection, tenant: UUID, aside: UUID, site_id: UUID, facts: Facts, views: list[pl.DataFrame]
) -> None:
    for table in ROLL_UPS:
        connection.execute(MOVE.format(table=table), [site_id, tenant, aside])
    summed = add_up_views(views)
    if not summed.is_empty():
        add_product_views(connection, tenant, _only(site_id), {0: facts.zone}, summed)


def _facts(connection: Connection, tenant: UUID, site_id: UUID) -> Facts | None:
    """To be asked for after the raw rows were listed."""
    site = connection.execute(GET_SITE, [tenant, site_id]).fetchone()
    if site is None:
        return None
    zone, cut_zone = map(usable_zone, site)
    return Facts(zone, cut_zone, _since(connection, tenant, site_id, ZoneInfo(cut_zone)))


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
    connection: Connection,
    tenant: UUID,
    site_id: UUID,
    facts: Facts,
    files: dict[RawKind, list[str]],
    views: list[pl.DataFrame] | None = None,
) -> int:
    """Add files' rows to the roll-ups under a site's number; how many pageviews they are."""
    return sum(
        _count_frame(connection, tenant, site_id, facts, kind, frame, views)
        for kind, paths in files.items()
        for frame in frames_of(kind, paths)
    )


def _count_frame(
    connection: Connection,
    tenant: UUID,
    site_id: UUID,
    facts: Facts,
    kind: RawKind,
    frame: pl.DataFrame,
    views: list[pl.DataFrame] | None = None,
) -> int:
    rows = frame.filter(pl.col(TIME_COLUMNS[kind]) >= int(facts.since.timestamp() * 1000))
    parts = {**_EMPTY, kind: rows}
    numbered = {key: part.with_columns(site=pl.lit(0, pl.UInt32)) for key, part in parts.items()}
    activity, visits = numbered[RawKind.ACTIVITY], numbered[RawKind.VISIT]
    with Aside() as aside:
        batch = Batch(tenant, activity, visits, _only(site_id), {0: facts.zone}, views)
        add_to_roll_ups(aside, connection, batch)
    return activity.filter(pl.col("kind") == Kind.PAGEVIEW).height


def _only(site_id: UUID) -> pl.DataFrame:
    """The sites of a batch that are this one."""
    return pl.DataFrame({"site": [0], "site_id": [site_id.bytes]}, schema={"site": pl.UInt32, "site_id": pl.Binary})


GET_SITE = """
    SELECT time_zone, coalesce(cut_zone, time_zone) FROM sites
    WHERE organisation_id = %s AND id = %s AND erasing_at IS NULL
"""
GET_COMPLETE_FROM = "SELECT raw_complete_from FROM sites WHERE organisation_id = %s AND id = %s"
MOVE = "UPDATE {table} SET site_id = %s WHERE organisation_id = %s AND site_id = %s"
DELETE = "DELETE FROM {table} WHERE organisation_id = %s AND site_id = %s AND bucket_at >= %s"
SET_CUT_ZONE = """
    UPDATE sites SET cut_zone = %s, broken_at = NULL, revision = revision + 1 WHERE organisation_id = %s AND id = %s
"""
