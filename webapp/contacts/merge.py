"""From staged rows to contacts: one range of key buckets, in one transaction.

Rows of one key are folded in file order: a later cell wins, a blank one leaves what is there. What
is new is created first; the rest is compared before it is changed, so the counts are exact, and what
would not change is not even locked. Whatever is locked or written goes in the order of
keys. When another transaction changes or deletes one of these contacts after the comparison, this one ends
in a serialization failure, after which the whole of it is done again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

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
    """Fold, create, compare and update. All of it belongs to the session's transaction."""
    values = {**vars(buckets), "now": now, "id_start": _id_start(now), "salt": os.urandom(16).hex()}
    _run(STEADY_PLANS)
    duplicate_count = _run(NOTE_REPLACED, values)
    if duplicate_count:
        _run(FOLD, values)
        _run(DROP_REPLACED, values)
    key_count = _rows(COUNT, values)[0][0]
    created_count = _run(CREATE, values)
    changed_count = _rows(COMPARE, values)[0][0] if created_count < key_count else 0
    updated_count = _update(values) if changed_count else 0
    if updated_count != changed_count:
        raise psycopg.errors.SerializationFailure(
            "Another transaction changed these contacts after they were compared."
        )
    return MergeCounts(
        row_count=key_count + duplicate_count,
        duplicate_count=duplicate_count,
        created_count=created_count,
        updated_count=updated_count,
        unchanged_count=key_count - created_count - updated_count,
    )


def _update(values: Mapping[str, Any]) -> int:
    """Lock the contacts that change, in the order of keys, and change them."""
    places = [row[0] for row in _rows(LOCK, values)]
    return _run(UPDATE, {**values, "places": places})


def _run(statement: str, values: Mapping[str, Any] | None = None) -> int:
    """Rows that the statement wrote. Never prepared: a plan made for an empty table would be kept."""
    return driver_connection().execute(statement.encode(), values, prepare=False).rowcount


def _rows(statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return driver_connection().execute(statement.encode(), values, prepare=False).fetchall()


def _id_start(now: datetime) -> str:
    """The first 13 digits of a UUIDv7 made now: its time and its version."""
    return f"{int(now.timestamp() * 1000):012x}7"


# Statistics lag behind tables that grow by the second: to the planner, an organisation that is new has
# one contact, and reading "all of them" for every staged row looks cheap. So nothing here is left to
# its choice: a contact is looked up by its key in a LATERAL query, which OFFSET 0 keeps as it is
# written, and a staged row is found again by its place.
STEADY_PLANS = "SELECT set_config('enable_seqscan', 'off', true)"

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
    FROM (SELECT (array_agg(s.ctid ORDER BY row_number DESC))[1] AS place, {
    ", ".join(
        f"(array_agg({name} ORDER BY row_number DESC) FILTER (WHERE {name} IS NOT NULL))[1] AS {name}" for name in CELLS
    )
}
          FROM {STAGED} GROUP BY email_key HAVING count(*) > 1) AS folded
    WHERE s.ctid = folded.place
"""  # noqa: S608

DROP_REPLACED = f"""
    DELETE FROM staged_contacts WHERE ctid = ANY (ARRAY(
        SELECT place FROM (SELECT s.ctid AS place, lead(row_number) OVER (PARTITION BY email_key ORDER BY row_number)
                           AS next_row_number FROM {STAGED}) AS rows
        WHERE next_row_number IS NOT NULL))
"""  # noqa: S608

COUNT = f"SELECT count(*) FROM {STAGED}"  # noqa: S608

COMPARE = f"""
    SELECT count(*)
    FROM staged_contacts s CROSS JOIN LATERAL (SELECT c.* FROM contacts c WHERE {SAME} OFFSET 0) AS c
    WHERE {RANGE} AND {CHANGES}
"""  # noqa: S608

LOCK = f"""
    SELECT s.place
    FROM (SELECT s.ctid AS place, s.* FROM {STAGED} ORDER BY s.email_key OFFSET 0) AS s
    CROSS JOIN LATERAL (SELECT c.id FROM contacts c WHERE {SAME} AND {CHANGES} FOR UPDATE) AS c
"""  # noqa: S608

# Ids are UUIDv7 of the merge's moment. Their random part is a salted hash of the key, which costs a tenth
# of what the database's own random numbers do where they are read from the system for every row.
HASH = "md5(s.email_key || %(salt)s)"
NEW_ID = (
    f"(%(id_start)s || left({HASH}, 3) || translate(substr({HASH}, 4, 1), '0123456789abcdef', '89ab89ab89ab89ab')"
    f" || substr({HASH}, 5, 15))::uuid"
)
# Every one of these is locked and so known: the insertion always ends in its update.
UPDATE = f"""
    INSERT INTO contacts AS c (organisation_id, id, email_key, {", ".join(FIELD_NAMES)}, created_at, updated_at)
    SELECT %(organisation_id)s, {NEW_ID}, s.email_key, {", ".join(f"s.{name}" for name in FIELD_NAMES)},
        %(now)s, %(now)s
    FROM staged_contacts s WHERE s.ctid = ANY (%(places)s::tid[]) ORDER BY s.email_key
    ON CONFLICT (organisation_id, email_key) DO UPDATE
    SET {", ".join(f"{name} = coalesce(excluded.{name}, c.{name})" for name in FIELD_NAMES)}, updated_at = %(now)s
"""  # noqa: S608

# Which keys are new is the unique index's own answer, not a look-up's: several merges fill an almost empty table at
# once, and a plan made when it had a few rows reads all of an organisation's for each look-up.
CREATE = f"""
    INSERT INTO contacts (organisation_id, id, email_key, {", ".join(FIELD_NAMES)}, created_at, updated_at)
    SELECT %(organisation_id)s, {NEW_ID}, s.email_key, {", ".join(f"s.{name}" for name in FIELD_NAMES)},
        %(now)s, %(now)s
    FROM {STAGED} ORDER BY s.email_key
    ON CONFLICT (organisation_id, email_key) DO NOTHING
"""  # noqa: S608
