"""The statements around the roll-ups: the writer's lock, the position, drops, sites."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.lib.zones import usable_zone
from webapp.visits.backlog import STREAM

LOCK = 7_305_010
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


def has_stale_sites(connection: Connection, organisation_id: UUID) -> bool:
    """Whether a site's time zone was changed since its days were cut, or a sketch of it could not be read."""
    found = connection.execute(PERHAPS_STALE_SITES, [organisation_id])
    return any(is_broken or cut_zone != usable_zone(time_zone) for is_broken, cut_zone, time_zone in found)


GET_POSITION = "SELECT last_id FROM stream_positions WHERE organisation_id = %s AND name = %s"
SET_POSITION = """
    INSERT INTO stream_positions (organisation_id, name, last_id) VALUES (%s, %s, %s)
    ON CONFLICT (organisation_id, name) DO UPDATE SET last_id = excluded.last_id
"""
ADD_TO_DROPS = """
    INSERT INTO drop_counts (organisation_id, site_id, day, reason, drop_count)
    SELECT %s, w.* FROM unnest(%s::uuid[], %s::date[], %s::text[], %s::bigint[]) AS w (site_id, day, reason, drop_count)
    ON CONFLICT (organisation_id, site_id, day, reason) DO UPDATE SET
        drop_count = drop_counts.drop_count + excluded.drop_count
"""
# Whether this machine knows their zones is for it to say.
PERHAPS_STALE_SITES = """
    SELECT DISTINCT broken_at IS NOT NULL, cut_zone, time_zone FROM sites
    WHERE organisation_id = %s AND deleted_at IS NULL
        AND (broken_at IS NOT NULL OR cut_zone IS NOT NULL AND cut_zone <> time_zone)
"""
# Deleted ones too, since they may come back; not those that are being removed for good.
KNOWN_SITES = "SELECT id FROM sites WHERE organisation_id = %s AND id = ANY(%s::uuid[]) AND erasing_at IS NULL"
GO_ON_IN_UTC = """
    UPDATE sites SET cut_zone = %s, broken_at = %s, revision = revision + 1
    WHERE organisation_id = %s AND id = ANY(%s::uuid[])
"""
# What is counted first says in which zone a site's days are cut.
SITE_ZONES = """
    WITH begun AS (
        UPDATE sites SET cut_zone = time_zone
        WHERE organisation_id = %(tenant)s AND id = ANY(%(sites)s::uuid[]) AND cut_zone IS NULL RETURNING id, cut_zone
    )
    SELECT id, cut_zone FROM begun
    UNION ALL
    SELECT id, cut_zone FROM sites
    WHERE organisation_id = %(tenant)s AND id = ANY(%(sites)s::uuid[]) AND cut_zone IS NOT NULL
"""
