"""The statements of the roll-up. They run on the driver's connection, inside its caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.lib.clock import utc_now
from webapp.visits.addresses import page_of
from webapp.visits.backlog import STREAM, Row
from webapp.visits.buckets import quarter_of
from webapp.visits.copying import copy_binary, pack_ids, pack_pageviews
from webapp.visits.cutting import cut_anew
from webapp.visits.known_visitors import add_known_visitors
from webapp.visits.models import Grain
from webapp.visits.sketches import merge
from webapp.visits.tallies import (
    OTHER,
    Bucket,
    SiteDay,
    Tally,
    crowded_pages,
    spread,
    spread_totals,
    spread_visitors,
    tally_rows,
)

LOCK = 7_305_010
UNKNOWN_ZONE = "UTC"
Connection = psycopg.Connection[Any]


def try_lock(connection: Connection) -> bool:
    """Become the one writer until this transaction ends."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK]).fetchone()
    return bool(row and row[0])


def wait_for_lock(connection: Connection) -> None:
    """Become the one writer as soon as the present one ends its transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def set_tenant(connection: Connection, organisation_id: UUID) -> None:
    """Name the organisation whose rows the next statements see and write."""
    connection.execute("SELECT set_config('footfall.organisation_id', %s, true)", [str(organisation_id)])


def get_position(connection: Connection) -> str | None:
    row = connection.execute(GET_POSITION, [SYSTEM_ORGANISATION_ID, STREAM]).fetchone()
    return row[0] if row else None


def set_position(connection: Connection, position: str) -> None:
    connection.execute(SET_POSITION, [SYSTEM_ORGANISATION_ID, STREAM, position])


def insert_dead_beacon(
    connection: Connection, organisation_id: UUID, row_id: UUID, content: bytes, reason: str
) -> None:
    connection.execute(INSERT_DEAD, [organisation_id, row_id, content, reason, utc_now()])


def count_for_organisation(connection: Connection, organisation_id: bytes, rows: list[Row]) -> int:
    """Count one organisation's rows, each id once for ever; how many were new."""
    tenant = UUID(bytes=organisation_id)
    set_tenant(connection, tenant)
    rows = _keep_unseen(connection, tenant, rows)
    if not rows:
        return 0
    tally = tally_rows(rows, _get_zone(connection, tenant))
    crowded, new_page_counts = _cap_pages(connection, tenant, tally)
    _insert_pages(connection, tenant, tally)
    _insert_pageviews(connection, organisation_id, rows, tally, crowded)
    _add_to_roll_ups(connection, tenant, tally, new_page_counts)
    add_known_visitors(connection, tenant, rows)
    return len(rows)


def _keep_unseen(connection: Connection, tenant: UUID, rows: list[Row]) -> list[Row]:
    """Enter the rows' ids as seen, and return the rows whose ids were not."""
    connection.execute(MAKE_STAGED_IDS)
    connection.execute("TRUNCATE staged_ids")
    copy_binary(connection, "staged_ids", pack_ids(rows))
    with connection.cursor(binary=True) as cursor:
        cursor.execute(INSERT_SEEN, [tenant])
        if cursor.rowcount == len(rows):
            return rows
        fresh = {row_id.bytes for (row_id,) in cursor.fetchall()}
    return [row for row in rows if row.id in fresh]


def _get_zone(connection: Connection, tenant: UUID) -> str:
    """The time zone of the organisation's days; when it was changed, its days are cut anew first."""
    row = connection.execute(GET_ZONES, [tenant]).fetchone()
    zone, cut_zone = row or (UNKNOWN_ZONE, None)
    if zone != cut_zone:
        if cut_zone is not None:
            cut_anew(connection, tenant, zone)
        connection.execute(SET_ZONE, [tenant, zone])
    return str(zone)


def _cap_pages(
    connection: Connection, tenant: UUID, tally: Tally
) -> tuple[dict[SiteDay, set[bytes]], dict[SiteDay, int]]:
    """Fold pages beyond a day's limit into "other"; those pages, and how many new ones each day counts."""
    seen = tally.pages_by_day()
    counted = _get_counted_pages(connection, tenant, [(*day, page) for day, pages in seen.items() for page in pages])
    crowded = crowded_pages(seen, counted, _get_page_counts(connection, tenant, list(seen)))
    tally.fold_into_other(crowded)
    new_page_counts = {
        day: len(pages.keys() - counted.get(day, set()) - crowded.get(day, set()) - {OTHER})
        for day, pages in seen.items()
    }
    return crowded, new_page_counts


def _get_counted_pages(
    connection: Connection, tenant: UUID, wanted: list[tuple[bytes, int, bytes]]
) -> dict[SiteDay, set[bytes]]:
    sites, days, pages = zip(*wanted, strict=True)
    found = connection.execute(COUNTED_PAGES, [_uuids(sites), _times(days), _uuids(pages), tenant], prepare=False)
    counted: dict[SiteDay, set[bytes]] = {}
    for site_id, day, page_id in found:
        counted.setdefault((site_id.bytes, _milliseconds(day)), set()).add(page_id.bytes)
    return counted


def _get_page_counts(connection: Connection, tenant: UUID, wanted: list[SiteDay]) -> dict[SiteDay, int]:
    sites, days = zip(*wanted, strict=True)
    found = connection.execute(PAGE_COUNTS, [tenant, _uuids(sites), _times(days)], prepare=False)
    return {(site_id.bytes, _milliseconds(day)): count for site_id, day, count in found}


def _insert_pages(connection: Connection, tenant: UUID, tally: Tally) -> None:
    used = {page_id for _, _, page_id in tally.pages} - {OTHER}
    pages = sorted((page_id, url) for page_id, url in tally.addresses.items() if page_id in used)
    if pages:
        ids, urls = zip(*pages, strict=True)
        connection.execute(INSERT_PAGES, [tenant, _uuids(ids), list(urls)])


def _insert_pageviews(
    connection: Connection, organisation_id: bytes, rows: list[Row], tally: Tally, crowded: dict[SiteDay, set[bytes]]
) -> None:
    page_ids = [page_of(row.page_url)[1] for row in rows]
    if crowded:
        page_ids = [
            OTHER if tally.is_crowded(crowded, row.site_id, quarter_of(row.visited_ms), page_id) else page_id
            for row, page_id in zip(rows, page_ids, strict=True)
        ]
    connection.execute(MAKE_STAGED_PAGEVIEWS)
    connection.execute("TRUNCATE staged_pageviews")
    copy_binary(connection, "staged_pageviews", pack_pageviews(organisation_id, rows, page_ids))
    connection.execute(INSERT_PAGEVIEWS)


def _add_to_roll_ups(connection: Connection, tenant: UUID, tally: Tally, new_page_counts: dict[SiteDay, int]) -> None:
    pages = spread(tally.zone, tally.pages)
    _upsert(connection, ADD_TO_PAGES, tenant, pages, _uuids([page_id for _, page_id, _ in pages]))
    referrers = spread(tally.zone, tally.referrers)
    _upsert(connection, ADD_TO_REFERRERS, tenant, referrers, [referrer for _, referrer, _ in referrers])
    _add_to_sites(connection, tenant, tally, new_page_counts)


def _upsert(
    connection: Connection,
    statement: str,
    tenant: UUID,
    counts: Sequence[tuple[Bucket, object, int]],
    keys: Sequence[object],
) -> None:
    if counts:
        arrays = _bucket_arrays([bucket for bucket, _, _ in counts])
        connection.execute(statement, [tenant, *arrays, keys, [count for _, _, count in counts]])


def _add_to_sites(connection: Connection, tenant: UUID, tally: Tally, new_page_counts: dict[SiteDay, int]) -> None:
    """Counts are added by the upsert; sketches are merged here, which one writer at a time may do."""
    totals = spread_totals(tally.zone, tally.totals())
    sketches = spread_visitors(tally.zone, tally.visitors)
    buckets = sorted(totals, key=lambda bucket: (bucket[0], bucket[1].value, bucket[2]))
    arrays = _bucket_arrays(buckets)
    for site_id, grain, bucket_at, kept in connection.execute(SKETCHES, [*arrays, tenant], prepare=False):
        bucket = site_id.bytes, Grain(grain), _milliseconds(bucket_at)
        sketches[bucket] = merge([kept, sketches[bucket]])
    page_counts = [new_page_counts.get((b[0], b[2]), 0) if b[1] is Grain.DAY else 0 for b in buckets]
    parameters = [tenant, *arrays, [totals[b] for b in buckets], page_counts, [sketches[b] for b in buckets]]
    connection.execute(ADD_TO_SITES, parameters)


def _bucket_arrays(buckets: Sequence[Bucket]) -> tuple[list[UUID], list[str], list[datetime]]:
    return (
        _uuids([site_id for site_id, _, _ in buckets]),
        [grain.value for _, grain, _ in buckets],
        _times([bucket_at for _, _, bucket_at in buckets]),
    )


def _uuids(values: Sequence[bytes]) -> list[UUID]:
    return [UUID(bytes=value) for value in values]


def _times(values: Sequence[int]) -> list[datetime]:
    return [datetime.fromtimestamp(value / 1000, UTC) for value in values]


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


GET_POSITION = "SELECT last_id FROM stream_positions WHERE organisation_id = %s AND name = %s"
SET_POSITION = """
    INSERT INTO stream_positions (organisation_id, name, last_id) VALUES (%s, %s, %s)
    ON CONFLICT (organisation_id, name) DO UPDATE SET last_id = excluded.last_id
"""
GET_ZONES = """
    SELECT o.time_zone, z.time_zone FROM organisations o LEFT JOIN roll_up_zones z ON z.organisation_id = o.id
    WHERE o.id = %s
"""
SET_ZONE = """
    INSERT INTO roll_up_zones (organisation_id, time_zone) VALUES (%s, %s)
    ON CONFLICT (organisation_id) DO UPDATE SET time_zone = excluded.time_zone
"""
INSERT_DEAD = """
    INSERT INTO dead_beacons (organisation_id, id, content, reason, created_at) VALUES (%s, %s, %s, %s, %s)
"""
# PostgreSQL refuses COPY into a table with a policy, so rows arrive in tables of this connection's own.
MAKE_STAGED_IDS = "CREATE TEMP TABLE IF NOT EXISTS staged_ids (id uuid) ON COMMIT DELETE ROWS"
MAKE_STAGED_PAGEVIEWS = """
    CREATE TEMP TABLE IF NOT EXISTS staged_pageviews (
        organisation_id uuid, visited_at timestamptz, id uuid, site_id uuid, page_id uuid,
        received_at timestamptz, visitor text, page_url text, referrer text, screen text
    ) ON COMMIT DELETE ROWS
"""
INSERT_SEEN = """
    INSERT INTO seen (organisation_id, id) SELECT %s, id FROM staged_ids ORDER BY id
    ON CONFLICT DO NOTHING RETURNING id
"""
INSERT_PAGES = """
    INSERT INTO pages (organisation_id, id, url)
    SELECT %s, p.id, p.url FROM unnest(%s::uuid[], %s::text[]) AS p (id, url) ON CONFLICT DO NOTHING
"""
INSERT_PAGEVIEWS = """
    INSERT INTO pageviews
        (organisation_id, visited_at, id, site_id, page_id, received_at, visitor, page_url, referrer, screen)
    SELECT organisation_id, visited_at, id, site_id, page_id, received_at, visitor, page_url, referrer, screen
    FROM staged_pageviews
"""
# One index look-up for each, whatever the planner thinks of the sizes.
COUNTED_PAGES = """
    SELECT w.site_id, w.bucket_at, w.page_id
    FROM unnest(%s::uuid[], %s::timestamptz[], %s::uuid[]) AS w (site_id, bucket_at, page_id)
    CROSS JOIN LATERAL (
        SELECT 1 FROM page_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.grain = 'day'
          AND r.bucket_at = w.bucket_at AND r.page_id = w.page_id
        LIMIT 1
    ) AS counted
"""
PAGE_COUNTS = """
    SELECT r.site_id, r.bucket_at, r.page_count FROM site_roll_ups r
    WHERE r.organisation_id = %s AND r.grain = 'day'
      AND (r.site_id, r.bucket_at) IN (SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]))
"""
SKETCHES = """
    SELECT w.site_id, w.grain, w.bucket_at, kept.visitors
    FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[]) AS w (site_id, grain, bucket_at)
    CROSS JOIN LATERAL (
        SELECT r.visitors FROM site_roll_ups r
        WHERE r.organisation_id = %s AND r.site_id = w.site_id AND r.grain = w.grain AND r.bucket_at = w.bucket_at
        LIMIT 1
    ) AS kept
"""
ADD_TO_SITES = """
    INSERT INTO site_roll_ups (
        organisation_id, site_id, grain, bucket_at, pageview_count, page_count, visitors,
        visit_count, bounce_count, visit_ms, event_count, engaged_ms
    )
    SELECT %s, w.*, 0, 0, 0, 0, 0 FROM unnest(
        %s::uuid[], %s::text[], %s::timestamptz[], %s::bigint[], %s::bigint[], %s::bytea[]
    ) AS w (site_id, grain, bucket_at, pageview_count, page_count, visitors)
    ON CONFLICT (organisation_id, site_id, grain, bucket_at) DO UPDATE SET
        pageview_count = site_roll_ups.pageview_count + excluded.pageview_count,
        page_count = site_roll_ups.page_count + excluded.page_count,
        visitors = excluded.visitors
"""
ADD_TO_PAGES = """
    INSERT INTO page_roll_ups (
        organisation_id, site_id, grain, bucket_at, page_id, pageview_count,
        entry_count, exit_count, bounce_count, engaged_ms, scroll_sum, scroll_count
    )
    SELECT %s, w.*, 0, 0, 0, 0, 0, 0 FROM unnest(
        %s::uuid[], %s::text[], %s::timestamptz[], %s::uuid[], %s::bigint[]
    ) AS w (site_id, grain, bucket_at, page_id, pageview_count)
    ON CONFLICT (organisation_id, site_id, grain, bucket_at, page_id) DO UPDATE SET
        pageview_count = page_roll_ups.pageview_count + excluded.pageview_count
"""
ADD_TO_REFERRERS = """
    INSERT INTO referrer_roll_ups (organisation_id, site_id, grain, bucket_at, referrer, pageview_count)
    SELECT %s, w.* FROM unnest(
        %s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::bigint[]
    ) AS w (site_id, grain, bucket_at, referrer, pageview_count)
    ON CONFLICT (organisation_id, site_id, grain, bucket_at, referrer) DO UPDATE SET
        pageview_count = referrer_roll_ups.pageview_count + excluded.pageview_count
"""
