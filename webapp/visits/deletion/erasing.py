"""Removing for good all that was kept of a deleted site, in steps of which each may be the last.

1. *Close*: under the roll-up's lock the site is marked, and from then on nothing is counted for it.
2. *Totals* of product views are left by it.
3. *Empty*: every table that knows sites loses its rows, some thousands at a time. Files of raw rows are retired, and
   the sweep removes them from the store.
4. *Pages* that no other site of the organisation counted go, and what could not be stored of it.
5. *End*: under the lock again, what came meanwhile, and the site itself.

Whoever does it again after it died goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from webapp.extensions import db
from webapp.visits.counting import statements
from webapp.visits.counting.product_views import leave_totals

STEP = 10_000
FILES = "sealed_files"
"""Its rows go with the files, by the sweep."""
Connection = psycopg.Connection[Any]


@dataclass(frozen=True)
class Erased:
    """What is being removed."""

    organisation_id: UUID
    site_id: UUID


def close_site(connection: Connection, erased: Erased, now: datetime, deleted_before: datetime) -> bool:
    """Let nothing be counted for it any more. False when there is no such site that was deleted so long ago."""
    statements.wait_for_lock(connection)
    given = [now, erased.organisation_id, erased.site_id, deleted_before]
    return connection.execute(CLOSE, given).rowcount > 0


def list_tables() -> list[str]:
    """Every table whose rows belong to a site."""
    return sorted(
        table.name for table in db.metadata.tables.values() if "site_id" in table.columns and table.name != FILES
    )


def remove_some(connection: Connection, erased: Erased, table: str) -> int:
    """Remove some of a table's rows; how many there were."""
    statement = REMOVE_SOME.format(table=sql.Identifier(table))
    return connection.execute(statement, [erased.organisation_id, erased.site_id, STEP]).rowcount


def retire_files(connection: Connection, erased: Erased, now: datetime) -> int:
    """Let the files of its raw rows be read no more. Those that are being written are given up by the sweep."""
    return connection.execute(RETIRE, [now, erased.organisation_id, erased.site_id]).rowcount


def remove_leftovers(connection: Connection, erased: Erased) -> int:
    """Pages that nobody counts any more; while nothing else is counted."""
    statements.wait_for_lock(connection)
    return connection.execute(REMOVE_PAGES, [erased.organisation_id]).rowcount


def remove_site(connection: Connection, erased: Erased, now: datetime) -> None:
    """Remove what came since the tables were emptied, and the site."""
    statements.wait_for_lock(connection)
    for table in list_tables():
        while remove_some(connection, erased, table) == STEP:
            pass
    retire_files(connection, erased, now)
    connection.execute(REMOVE_SITE, [erased.organisation_id, erased.site_id])


def steps(connect: Callable[[], Connection], erased: Erased, now: datetime) -> Iterator[tuple[str, int]]:
    """Do one step after the other, each in a transaction that the caller commits; what was removed, and how much."""
    leave_totals(connect(), erased.organisation_id, erased.site_id)
    yield "product_view_windows", 1
    for table in list_tables():
        while count := remove_some(connect(), erased, table):
            yield table, count
    yield FILES, retire_files(connect(), erased, now)
    yield "pages", remove_leftovers(connect(), erased)
    remove_site(connect(), erased, now)
    yield "sites", 1


CLOSE = """
    UPDATE sites SET erasing_at = coalesce(erasing_at, %s)
    WHERE organisation_id = %s AND id = %s AND (deleted_at < %s OR erasing_at IS NOT NULL)
"""
REMOVE_SOME = sql.SQL("""
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {table} WHERE organisation_id = %s AND site_id = %s LIMIT %s
    ))
""")
RETIRE = """
    UPDATE sealed_files SET state = 'retired', retired_at = %s
    WHERE organisation_id = %s AND site_id = %s AND state = 'sealed'
"""
REMOVE_PAGES = """
    DELETE FROM pages p WHERE p.organisation_id = %s AND NOT EXISTS (
        SELECT 1 FROM page_roll_ups r WHERE r.organisation_id = p.organisation_id AND r.page_id = p.id
    )
"""
REMOVE_SITE = "DELETE FROM sites WHERE organisation_id = %s AND id = %s AND erasing_at IS NOT NULL"
