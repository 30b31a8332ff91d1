"""Counting accepted beacons: one batch, one transaction, exactly once.

1. One writer at a time holds an advisory lock, since sketches are read, changed and written.
2. The entries after the kept position are read and their rows counted, organisation by organisation:
   ids not seen before, visits, raw rows, roll-ups.
3. Rows that PostgreSQL refuses are found by halving and laid aside.
4. The position moves in the same transaction, so a crash at any point counts nothing twice and
   loses nothing. Whatever is counted leaves the stream after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import polars as pl
import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.lib.ids import uuid7
from webapp.visits import backlog
from webapp.visits.backlog import Row
from webapp.visits.counting import batch, statements
from webapp.visits.counting.batch import Batch, Part
from webapp.visits.counting.organisations import count_for_organisation

POISON = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # too large for an index
    ValueError,
    ArithmeticError,
    LookupError,  # a time zone that this machine does not know
    RuntimeError,  # a sketch that cannot be read
    TypeError,
    pl.exceptions.PolarsError,
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
    """By organisation of which anything was counted."""
    dead_count: int = 0
    stale_organisations: set[UUID] = field(default_factory=set)
    """Those with sites whose days are cut in another zone than theirs."""

    def add(self, organisation_id: bytes, row_count: int, pageview_count: int) -> None:
        key = UUID(bytes=organisation_id)
        if row_count:
            self.pageview_counts[key] = self.pageview_counts.get(key, 0) + pageview_count


def begin_batch(connection: Connection) -> str | None:
    """The position, inside a transaction that is now the only one to count; None when another is."""
    if not statements.try_lock(connection):
        return None
    statements.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    return statements.get_position(connection) or backlog.START


def count_batch(connection: Connection, prepared: Batch) -> Counted:
    """Count all rows of a batch and move the position behind its entries."""
    counted = Counted(prepared.position)
    for entry, error in prepared.unreadable:
        _lay_aside(connection, SYSTEM_ORGANISATION_ID, entry.content, error, counted)
    counted.row_count = prepared.height
    _count_or_halve(connection, prepared.rows, counted, prepared.parts)
    counted.stale_organisations = {
        organisation_id for organisation_id in counted.pageview_counts if _has_stale_sites(connection, organisation_id)
    }
    statements.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    statements.set_position(connection, counted.position)
    return counted


def _count_or_halve(
    connection: Connection, rows: pl.DataFrame, counted: Counted, parts: list[Part] | None = None
) -> None:
    """Count rows, which may be split already; when PostgreSQL refuses them, halve until the bad ones stand alone."""
    if rows.is_empty():
        return
    try:
        with connection.transaction():
            counts = _count_parts(connection, batch.split(rows) if parts is None else parts)
    except POISON as error:
        if rows.height == 1:
            _lay_aside_row(connection, rows, error, counted)
            return
        middle = rows.height // 2
        _count_or_halve(connection, rows.slice(0, middle), counted)
        _count_or_halve(connection, rows.slice(middle), counted)
        return
    for organisation_id, (row_count, pageview_count) in counts.items():
        counted.add(organisation_id, row_count, pageview_count)


def _count_parts(connection: Connection, parts: list[Part]) -> dict[bytes, tuple[int, int]]:
    return {part.organisation_id: count_for_organisation(connection, part) for part in parts}


def count_rows(connection: Connection, rows: Iterable[Row]) -> None:
    """Count rows that were not counted before, all or none."""
    _count_parts(connection, batch.split(batch.frame_of_rows(rows)))


def _has_stale_sites(connection: Connection, organisation_id: UUID) -> bool:
    statements.set_tenant(connection, organisation_id)
    return statements.has_stale_sites(connection, organisation_id)


def _lay_aside_row(connection: Connection, row: pl.DataFrame, error: Exception, counted: Counted) -> None:
    organisation_id = row.item(0, "organisation_id")
    is_id = len(organisation_id) == 16
    owner = UUID(bytes=organisation_id) if is_id else SYSTEM_ORGANISATION_ID
    _lay_aside(connection, owner, msgspec.msgpack.encode(row.row(0)), error, counted)


def _lay_aside(
    connection: Connection, organisation_id: UUID, content: bytes, error: Exception, counted: Counted
) -> None:
    reason = f"{type(error).__name__}: {error}".replace("\x00", "")[:REASON_LIMIT]
    logger.error("A beacon of organisation %s cannot be stored: %s", organisation_id, reason)
    statements.set_tenant(connection, organisation_id)
    statements.insert_dead_beacon(connection, organisation_id, uuid7(), content, reason)
    counted.dead_count += 1
