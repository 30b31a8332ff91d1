"""Counting again what was laid aside: exactly once, since it has its ids still, in one transaction with its removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import polars as pl
import psycopg

from webapp.visits.backlog import ID_COLUMN, Entry
from webapp.visits.collecting.refusals import CANNOT_BE_STORED
from webapp.visits.counting import statements
from webapp.visits.counting.batch import ROW_SCHEMA, read_entries
from webapp.visits.counting.laid_aside import ID_BYTES, lay_aside_row, reason_of
from webapp.visits.counting.roll_up import count_or_halve
from webapp.visits.counting.seen import list_seen

STEP = 2_000
FIRST_ID = UUID(int=0)
Connection = psycopg.Connection[Any]
Failures = dict[bytes, str]
"""Why, by the beacon's own id."""


@dataclass(frozen=True)
class Recounted:
    """What became of some that lay aside."""

    last_id: UUID
    counted_count: int
    kept_count: int


@dataclass(frozen=True)
class _Laid:
    """One that lies aside: a row, or a group of them that could not be read."""

    id: UUID
    content: bytes
    row: tuple[Any, ...] | None


def count_some_again(connection: Connection, tenant: UUID, after: UUID, until: UUID) -> Recounted | None:
    """Count the next of an organisation's, by their numbers in here; None when there are no more. Then commit."""
    statements.wait_for_lock(connection)
    statements.set_tenant(connection, tenant)
    laid = _list(connection, tenant, after, until)
    if not laid:
        return None
    rows = [one for one in laid if one.row is not None]
    failed = _count_rows(connection, rows)
    failed |= _count_groups(connection, [one for one in laid if one.row is None])
    statements.set_tenant(connection, tenant)
    remove_counted(connection, tenant, [one.id for one in laid if one.id not in failed])
    connection.execute(SET_REASONS, [list(failed), list(failed.values()), tenant])
    return Recounted(laid[-1].id, counted_count=len(laid) - len(failed), kept_count=len(failed))


def remove_counted(connection: Connection, tenant: UUID, ids: Sequence[UUID]) -> None:
    """Let them lie aside no more, nor be told to their sites' owners."""
    connection.execute(REMOVE, {"tenant": tenant, "ids": list(ids), "reason": CANNOT_BE_STORED})
    connection.execute(REMOVE_NO_DROPS, [tenant, CANNOT_BE_STORED])


def forget_counted(connection: Connection, tenant: UUID, after: UUID) -> UUID | None:
    """Remove those of the next whose ids were counted, sent once more by their sender; where it ended.

    To be done while ids are still known: then nothing that is counted again later was counted before.
    """
    laid = _list(connection, tenant, after, UUID(int=2**128 - 1))
    told = [(one.id, one.row[ID_COLUMN]) for one in laid if one.row is not None and len(one.row[ID_COLUMN]) == ID_BYTES]
    seen = set(list_seen(connection, tenant, [beacon_id for _, beacon_id in told]))
    remove_counted(connection, tenant, [laid_id for laid_id, beacon_id in told if beacon_id in seen])
    return laid[-1].id if laid else None


def _list(connection: Connection, tenant: UUID, after: UUID, until: UUID) -> list[_Laid]:
    found = connection.execute(LIST, [tenant, after, until, STEP]).fetchall()
    return [_Laid(laid_id, content, _row_of(content)) for laid_id, content in found]


def _row_of(content: bytes) -> tuple[Any, ...] | None:
    """A row's values; None for what is a group, or nothing that can be read."""
    try:
        decoded = msgspec.msgpack.decode(content)
    except msgspec.MsgspecError:
        return None
    is_row = isinstance(decoded, list) and len(decoded) == len(ROW_SCHEMA) and isinstance(decoded[0], bytes)
    return tuple(decoded) if is_row else None


def _count_rows(connection: Connection, laid: Sequence[_Laid]) -> dict[UUID, str]:
    """Those that cannot be stored still, and why."""
    frame = pl.DataFrame([one.row for one in laid], schema=ROW_SCHEMA, orient="row")
    reasons: Failures = {}

    def keep(row: pl.DataFrame, error: Exception) -> None:
        reasons[row.item(0, "id")] = reason_of(error)

    count_or_halve(connection, frame, keep)
    return {
        one.id: reasons[one.row[ID_COLUMN]] for one in laid if one.row is not None and one.row[ID_COLUMN] in reasons
    }


def _count_groups(connection: Connection, laid: Sequence[_Laid]) -> dict[UUID, str]:
    """Those that cannot be read still. Of one that can be, each row is counted, or laid aside by itself."""

    def lay_aside(row: pl.DataFrame, error: Exception) -> None:
        lay_aside_row(connection, row, error)

    failed: dict[UUID, str] = {}
    for one in laid:
        frame, unreadable = read_entries([Entry("", one.content)])
        if unreadable:
            failed[one.id] = reason_of(unreadable[0][1])
        else:
            count_or_halve(connection, frame, lay_aside)
    return failed


LIST = """
    SELECT id, content FROM dead_beacons WHERE organisation_id = %s AND id > %s AND id <= %s ORDER BY id LIMIT %s
"""
REMOVE = """
    WITH gone AS (
        DELETE FROM dead_beacons WHERE organisation_id = %(tenant)s AND id = ANY(%(ids)s::uuid[])
        RETURNING site_id, (created_at AT TIME ZONE 'UTC')::date AS day
    ), counted AS (
        SELECT site_id, day, count(*) AS number FROM gone WHERE site_id IS NOT NULL GROUP BY 1, 2
    )
    UPDATE drop_counts d SET drop_count = d.drop_count - c.number FROM counted c
    WHERE d.organisation_id = %(tenant)s AND d.site_id = c.site_id AND d.day = c.day AND d.reason = %(reason)s
"""
REMOVE_NO_DROPS = "DELETE FROM drop_counts WHERE organisation_id = %s AND reason = %s AND drop_count <= 0"
SET_REASONS = """
    UPDATE dead_beacons d SET reason = w.reason FROM unnest(%s::uuid[], %s::text[]) AS w (id, reason)
    WHERE d.organisation_id = %s AND d.id = w.id
"""
