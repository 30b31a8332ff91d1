"""Counting accepted beacons: one batch, one transaction, exactly once.

1. One writer at a time holds an advisory lock, since sketches are read, changed and written.
2. The entries after the kept position are read and their rows counted, organisation by organisation:
   ids not seen before, raw pageviews, roll-ups.
3. Rows that PostgreSQL refuses are found by halving and laid aside.
4. The position moves in the same transaction, so a crash at any point counts nothing twice and
   loses nothing. Whatever is counted leaves the stream after the commit.
"""

from __future__ import annotations

import logging
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.lib.ids import uuid7
from webapp.visits import backlog, roll_up_sql
from webapp.visits.backlog import Entry, Row

POISON = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # too large for an index
    ValueError,
    ArithmeticError,
    LookupError,  # a time zone that this machine does not know
    RuntimeError,  # a sketch that cannot be read
    TypeError,
    struct.error,
)
"""What one row, or one organisation's rows, can cause: they alone are laid aside. Anything else is a server
or a lock, and the batch is tried again as a whole."""
REASON_LIMIT = 500

logger = logging.getLogger(__name__)
Connection = psycopg.Connection[Any]


@dataclass
class Counted:
    """What became of a batch."""

    position: str
    row_count: int = 0
    pageview_counts: dict[UUID, int] = field(default_factory=dict)
    dead_count: int = 0

    def add(self, organisation_id: bytes, count: int) -> None:
        key = UUID(bytes=organisation_id)
        self.pageview_counts[key] = self.pageview_counts.get(key, 0) + count


def begin_batch(connection: Connection) -> str | None:
    """The position, inside a transaction that is now the only one to count; None when another is."""
    if not roll_up_sql.try_lock(connection):
        return None
    roll_up_sql.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    return roll_up_sql.get_position(connection) or backlog.START


def count_entries(connection: Connection, entries: list[Entry]) -> Counted:
    """Count all rows of these entries and move the position behind them."""
    counted = Counted(entries[-1].id)
    rows: list[Row] = []
    for entry in entries:
        try:
            rows += backlog.decode_rows(entry.content)
        except (msgspec.MsgspecError, ValueError) as error:
            _lay_aside(connection, SYSTEM_ORGANISATION_ID, entry.content, error, counted)
    counted.row_count = len(rows) + counted.dead_count
    _count_or_halve(connection, rows, counted)
    roll_up_sql.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    roll_up_sql.set_position(connection, counted.position)
    return counted


def _count_or_halve(connection: Connection, rows: list[Row], counted: Counted) -> None:
    """Count rows; when PostgreSQL refuses them, halve until the bad ones stand alone."""
    if not rows:
        return
    try:
        with connection.transaction():
            counts = count_rows(connection, rows)
    except POISON as error:
        if len(rows) == 1:
            _lay_aside_row(connection, rows[0], error, counted)
            return
        middle = len(rows) // 2
        _count_or_halve(connection, rows[:middle], counted)
        _count_or_halve(connection, rows[middle:], counted)
        return
    for organisation_id, count in counts.items():
        counted.add(organisation_id, count)


def count_rows(connection: Connection, rows: list[Row]) -> dict[bytes, int]:
    """Count rows that were not counted before, all or none; how many, by organisation."""
    by_organisation: dict[bytes, dict[bytes, Row]] = defaultdict(dict)
    for row in rows:
        by_organisation[row.organisation_id].setdefault(row.id, row)
    return {
        organisation_id: roll_up_sql.count_for_organisation(connection, organisation_id, list(by_id.values()))
        for organisation_id, by_id in sorted(by_organisation.items())
    }


def _lay_aside_row(connection: Connection, row: Row, error: Exception, counted: Counted) -> None:
    is_id = len(row.organisation_id) == 16
    organisation_id = UUID(bytes=row.organisation_id) if is_id else SYSTEM_ORGANISATION_ID
    _lay_aside(connection, organisation_id, msgspec.msgpack.encode(row), error, counted)


def _lay_aside(
    connection: Connection, organisation_id: UUID, content: bytes, error: Exception, counted: Counted
) -> None:
    reason = f"{type(error).__name__}: {error}".replace("\x00", "")[:REASON_LIMIT]
    logger.error("A beacon of organisation %s cannot be stored: %s", organisation_id, reason)
    roll_up_sql.set_tenant(connection, organisation_id)
    roll_up_sql.insert_dead_beacon(connection, organisation_id, uuid7(), content, reason)
    counted.dead_count += 1
