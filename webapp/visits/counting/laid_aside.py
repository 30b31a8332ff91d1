"""Accepted beacons that cannot be stored: kept as they came, shown to operators, told to the site's owner.

Each is told apart by what it says itself: whose it is goes along, so that it goes with its site, and with the people
whom it names. Nobody is named again by what they did before they were erased, so that is not kept at all.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import polars as pl
import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.lib.clock import utc_now
from webapp.lib.ids import uuid7
from webapp.lib.keys import fold_key
from webapp.visits.backlog import Kind
from webapp.visits.collecting.refusals import CANNOT_BE_STORED
from webapp.visits.counting import statements
from webapp.visits.counting.enrichment import visitor_number
from webapp.visits.counting.erased import erased_before

ID_BYTES = 16
REASON_LIMIT = 500
logger = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]


def lay_aside_row(connection: Connection, row: pl.DataFrame, error: Exception) -> bool:
    """Keep one row, and count it for the owner of its site. False for one of before somebody was erased."""
    told = row.row(0, named=True)
    tenant = _id_of(told["organisation_id"]) or SYSTEM_ORGANISATION_ID
    site_id, keys, now = _id_of(told["site_id"]), keys_of(told), utc_now()
    statements.set_tenant(connection, tenant)
    if _is_erased(connection, tenant, keys, told):
        return False
    content = msgspec.msgpack.encode(row.row(0))
    visitor = visitor_number(site_id.bytes, told["visitor"]) if site_id else None
    reason = reason_of(error)
    logger.error("A beacon of organisation %s cannot be stored: %s", tenant, reason)
    connection.execute(INSERT, [tenant, uuid7(), site_id, visitor, keys, content, reason, now])
    if site_id and connection.execute(statements.KNOWN_SITES, [tenant, [site_id]]).fetchone():
        connection.execute(statements.ADD_TO_DROPS, [tenant, [site_id], [now.date()], [CANNOT_BE_STORED], [1]])
    return True


def lay_aside_group(connection: Connection, content: bytes, error: Exception) -> None:
    """Keep a group of which nobody can read whose it is."""
    reason = reason_of(error)
    logger.error("A group of beacons cannot be read: %s", reason)
    statements.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    connection.execute(INSERT, [SYSTEM_ORGANISATION_ID, uuid7(), None, None, [], content, reason, utc_now()])


def reason_of(error: Exception) -> str:
    """What is wrong, as it is kept and shown."""
    return f"{type(error).__name__}: {error}".replace("\x00", "")[:REASON_LIMIT]


def keys_of(told: dict[str, Any]) -> list[str]:
    """Whom a row names, by their folded keys."""
    named = [told["visitor"], *([told["name"]] if told["kind"] == Kind.IDENTIFY else [])]
    return sorted({fold_key(text.replace("\x00", "").strip()) for text in named} - {""})


def remove_of_people(connection: Connection, tenant: UUID, keys: list[str], visitors: list[tuple[UUID, int]]) -> int:
    """Remove those that name one of these people, or are of one of their visitors (site, number)."""
    sites, numbers = [site_id for site_id, _ in visitors], [number for _, number in visitors]
    return connection.execute(REMOVE_OF_PEOPLE, [sites, numbers, tenant, keys]).rowcount


def expire(connection: Connection, tenant: UUID, before: datetime) -> int:
    """Remove those that are kept long enough."""
    return connection.execute(EXPIRE, [tenant, before]).rowcount


def _is_erased(connection: Connection, tenant: UUID, keys: list[str], told: dict[str, Any]) -> bool:
    """By the earlier of both times: what is wrong with it may be its own."""
    at = min(told["visited_ms"], told["received_ms"])
    return any(at <= asked_ms for asked_ms in erased_before(connection, tenant, keys).values())


def _id_of(content: bytes) -> UUID | None:
    return UUID(bytes=content) if len(content) == ID_BYTES else None


INSERT = """
    INSERT INTO dead_beacons (organisation_id, id, site_id, visitor, keys, content, reason, created_at)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
REMOVE_OF_PEOPLE = """
    WITH w AS (SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS w (site_id, visitor))
    DELETE FROM dead_beacons d WHERE d.organisation_id = %s
        AND (d.keys && %s::text[] OR (d.site_id, d.visitor) IN (SELECT site_id, visitor FROM w))
"""
EXPIRE = "DELETE FROM dead_beacons WHERE organisation_id = %s AND created_at < %s"
