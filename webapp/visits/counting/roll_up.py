"""Counting accepted beacons: one batch, one transaction, exactly once.

1. One writer at a time holds an advisory lock, since sketches are read, changed and written.
2. The entries after the kept position are read and their rows counted, organisation by organisation:
   ids not seen before, visits, raw rows, roll-ups.
3. Rows that PostgreSQL refuses are found by halving and laid aside.
4. The position moves in the same transaction, so a crash at any point counts nothing twice and
   loses nothing. Whatever is counted leaves the stream after the commit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import polars as pl
import psycopg

from webapp.accounts.models import SYSTEM_ORGANISATION_ID
from webapp.visits import backlog
from webapp.visits.backlog import Row
from webapp.visits.counting import batch, statements
from webapp.visits.counting.batch import Batch, Part
from webapp.visits.counting.laid_aside import lay_aside_group, lay_aside_row
from webapp.visits.counting.organisations import count_for_organisation

POISON = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,  # too large for an index
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    pl.exceptions.PolarsError,
)
"""What a row can cause by what it says: it alone is laid aside. Anything else is a server, a lock, this machine
(NoZonesError, when it knows no time zones) or something stored (an UnreadableSketchError, which counting gets over by
itself), and the batch is kept and tried again as a whole."""

Connection = psycopg.Connection[Any]
Counts = dict[bytes, tuple[int, int]]
"""How many rows, and pageviews, by organisation."""
Refuse = Callable[[pl.DataFrame, Exception], None]
"""What becomes of a row that cannot be stored."""


@dataclass
class Counted:
    """What became of a batch."""

    position: str
    row_count: int = 0
    pageview_counts: dict[UUID, int] = field(default_factory=dict)
    """By organisation of which anything was counted."""
    laid_aside: Counter[str] = field(default_factory=Counter)
    """How many could not be stored, by the error's name."""
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
        lay_aside_group(connection, entry.content, error)
        counted.laid_aside[type(error).__name__] += 1
    counted.row_count = prepared.height

    def lay_aside(row: pl.DataFrame, error: Exception) -> None:
        counted.laid_aside[type(error).__name__] += lay_aside_row(connection, row, error)

    for organisation_id, counts in count_or_halve(connection, prepared.rows, lay_aside, prepared.parts).items():
        counted.add(organisation_id, *counts)
    counted.stale_organisations = {
        organisation_id for organisation_id in counted.pageview_counts if _has_stale_sites(connection, organisation_id)
    }
    statements.set_tenant(connection, SYSTEM_ORGANISATION_ID)
    statements.set_position(connection, counted.position)
    return counted


def count_or_halve(
    connection: Connection, rows: pl.DataFrame, refuse: Refuse, parts: list[Part] | None = None
) -> Counts:
    """Count rows, which may be split already; when PostgreSQL refuses them, halve until the bad ones stand alone.

    Those go to `refuse`. How many rows and pageviews were counted, by organisation.
    """
    if rows.is_empty():
        return {}
    try:
        with connection.transaction():
            return _count_parts(connection, batch.split(rows) if parts is None else parts)
    except POISON as error:
        if rows.height == 1:
            refuse(rows, error)
            return {}
    middle = rows.height // 2
    halves = [count_or_halve(connection, half, refuse) for half in (rows.slice(0, middle), rows.slice(middle))]
    return _add_up(*halves)


def _add_up(left: Counts, right: Counts) -> Counts:
    nothing = (0, 0)
    pairs = {key: (left.get(key, nothing), right.get(key, nothing)) for key in {**left, **right}}
    return {key: (one[0] + other[0], one[1] + other[1]) for key, (one, other) in pairs.items()}


def _count_parts(connection: Connection, parts: list[Part]) -> Counts:
    return {part.organisation_id: count_for_organisation(connection, part) for part in parts}


def count_rows(connection: Connection, rows: Iterable[Row]) -> None:
    """Count rows that were not counted before, all or none."""
    _count_parts(connection, batch.split(batch.frame_of_rows(rows)))


def _has_stale_sites(connection: Connection, organisation_id: UUID) -> bool:
    statements.set_tenant(connection, organisation_id)
    return statements.has_stale_sites(connection, organisation_id)
