"""From staged rows to contacts: one range of key buckets, in one transaction.

Rows of one key are folded in file order: a later cell wins, a blank one leaves what is there. What
happens to each contact is known before anything is written, by comparing; so the counts are exact,
and what would not change is not even locked. Whatever is locked or written goes in the order of
keys. A key that another transaction creates meanwhile ends this one in a unique violation, after
which the whole of it is done again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from webapp.contacts.fields import FIELD_NAMES, KEY_FIELD
from webapp.extensions import driver_connection


@dataclass(frozen=True)
class MergeCounts:
    """What became of a range's rows. `key_count` is created + updated + unchanged."""

    row_count: int
    duplicate_count: int
    created_count: int
    updated_count: int
    unchanged_count: int


@dataclass(frozen=True)
class BucketRange:
    """An import's staged rows in buckets from `start` up to, not including, `end`."""

    organisation_id: UUID
    bulk_action_id: UUID
    start: int
    end: int


def merge_contacts(buckets: BucketRange, now: datetime) -> MergeCounts:
    """Fold, compare, update and create. All of it belongs to the session's transaction."""
    values = {**vars(buckets), "now": now, "id_start": _id_start(now), "salt": os.urandom(16).hex()}
    _run(STEADY_PLANS)
    duplicate_count = _run(NOTE_REPLACED, values)
    if duplicate_count:
        _run(FOLD, values)
        _run(DROP_REPLACED, values)
    key_count, known_count, changed_count = _row(COMPARE, values)
    updated_count = _update(values) if changed_count else 0
    created_count = 0 if known_count == key_count else _run(CREATE if known_count else CREATE_ALL, values)
    return MergeCounts(
        row_count=key_count + duplicate_count,
        duplicate_count=duplicate_count,
        created_count=created_count,
        updated_count=updated_count,
        unchanged_count=key_count - created_count - updated_count,
    )


def _update(values: Mapping[str, Any]) -> int:
    _run(LOCK, values)
    return _run(UPDATE, values)


def _run(statement: str, values: Mapping[str, Any] | None = None) -> int:
    """Rows that the statement wrote. Never prepared: a plan made for an empty table would be kept."""
    return driver_connection().execute(statement.encode(), values, prepare=False).rowcount


def _row(statement: str, values: Mapping[str, Any]) -> tuple[int, int, int]:
    row = driver_connection().execute(statement.encode(), values, prepare=False).fetchone()
    if row is None:
        raise LookupError("A count came without a row.")
    return row[0], row[1], row[2]


def _id_start(now: datetime) -> str:
    """The first 13 digits of a UUIDv7 made now: its time and its version."""
    return f"{int(now.timestamp() * 1000):012x}7"


# Statistics lag behind tables that grow by the second, so the planner is told what always holds
# here: a range's rows are few beside the tables, and each has its index.
STEADY_PLANS = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),"
    " set_config('enable_mergejoin', 'off', true)"
)

CELLS = tuple(name for name in FIELD_NAMES if name != KEY_FIELD.name)
RANGE = (
    "s.organisation_id = %(organisation_id)s AND s.bulk_action_id = %(bulk_action_id)s"
    " AND s.bucket >= %(start)s AND s.bucket < %(end)s"
)
STAGED = f"staged_contacts s WHERE {RANGE}"
SAME = "c.organisation_id = %(organisation_id)s AND c.email_key = s.email_key"
CHANGES = f"({' OR '.join(f'(s.{name} IS NOT NULL AND s.{name} IS DISTINCT FROM c.{name})' for name in FIELD_NAMES)})"

NOTE_REPLACED = f"""
    INSERT INTO replaced_rows (organisation_id, bulk_action_id, row_number, replaced_by_row_number)
    SELECT %(organisation_id)s, %(bulk_action_id)s, row_number, next_row_number
    FROM (SELECT row_number, lead(row_number) OVER (PARTITION BY email_key ORDER BY row_number) AS next_row_number
          FROM {STAGED}) AS rows
    WHERE next_row_number IS NOT NULL
"""  # noqa: S608

# The last row of each key takes over the last cell that is not blank of the rows before it.
FOLD = f"""
    UPDATE staged_contacts s SET {", ".join(f"{name} = folded.{name}" for name in CELLS)}
    FROM (SELECT email_key, max(row_number) AS row_number, {
    ", ".join(
        f"(array_agg({name} ORDER BY row_number DESC) FILTER (WHERE {name} IS NOT NULL))[1] AS {name}" for name in CELLS
    )
}
          FROM {STAGED} GROUP BY email_key HAVING count(*) > 1) AS folded
    WHERE {RANGE} AND s.email_key = folded.email_key AND s.row_number = folded.row_number
"""  # noqa: S608

DROP_REPLACED = f"""
    DELETE FROM {STAGED} AND EXISTS (
        SELECT 1 FROM replaced_rows r
        WHERE r.organisation_id = s.organisation_id AND r.bulk_action_id = s.bulk_action_id
          AND r.row_number = s.row_number)
"""  # noqa: S608

COMPARE = f"""
    SELECT count(*), count(c.id), count(*) FILTER (WHERE c.id IS NOT NULL AND {CHANGES})
    FROM staged_contacts s LEFT JOIN contacts c ON {SAME} WHERE {RANGE}
"""  # noqa: S608

LOCK = f"""
    SELECT c.id FROM staged_contacts s JOIN contacts c ON {SAME} WHERE {RANGE} AND {CHANGES}
    ORDER BY c.email_key FOR UPDATE OF c
"""  # noqa: S608

UPDATE = f"""
    UPDATE contacts c SET {", ".join(f"{name} = coalesce(s.{name}, c.{name})" for name in FIELD_NAMES)},
        updated_at = %(now)s
    FROM staged_contacts s WHERE {SAME} AND {RANGE} AND {CHANGES}
"""  # noqa: S608

# Ids are UUIDv7 of the merge's moment. Their random part is a salted hash of the key, which costs a tenth
# of what the database's own random numbers do where they are read from the system for every row.
HASH = "md5(s.email_key || %(salt)s)"
NEW_ID = (
    f"(%(id_start)s || left({HASH}, 3) || translate(substr({HASH}, 4, 1), '0123456789abcdef', '89ab89ab89ab89ab')"
    f" || substr({HASH}, 5, 15))::uuid"
)
CREATE_ALL = f"""
    INSERT INTO contacts (organisation_id, id, email_key, {", ".join(FIELD_NAMES)}, created_at, updated_at)
    SELECT %(organisation_id)s, {NEW_ID}, s.email_key, {", ".join(f"s.{name}" for name in FIELD_NAMES)},
        %(now)s, %(now)s
    FROM {STAGED} ORDER BY s.email_key
"""  # noqa: S608

NOT_KNOWN = f"NOT EXISTS (SELECT 1 FROM contacts c WHERE {SAME})"  # noqa: S608
CREATE = CREATE_ALL.replace(" ORDER BY s.email_key", f" AND {NOT_KNOWN} ORDER BY s.email_key")
