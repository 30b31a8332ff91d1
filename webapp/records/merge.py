"""From staged rows to records: one range of key buckets, in one transaction.

Rows of one key are folded in file order: a later cell wins, a blank one leaves what is there. What is new is
created first; the rest is compared before it is changed, so the counts are exact, and what would not change is not
even locked. Whatever is locked or written goes in the order of keys. When another transaction changes or deletes
one of these records after the comparison, this one ends in a serialization failure, after which the whole of it
is done again. A dry run does all of it but the writing of records.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from webapp.extensions import driver_connection
from webapp.records.entities import Entity
from webapp.records.merge_sql import Statements, statements_for
from webapp.records.rules import Mode, Rules


@dataclass(frozen=True)
class BucketRange:
    """An import's staged rows in buckets from `start` up to, not including, `end`; its outcomes are `part`."""

    organisation_id: UUID
    bulk_action_id: UUID
    start: int
    end: int
    part: int = 0


@dataclass(frozen=True)
class Merge:
    """What to merge, and how."""

    entity: Entity
    rules: Rules
    buckets: BucketRange
    is_dry_run: bool = False


@dataclass(frozen=True)
class MergeCounts:
    """What became of a range's rows. Without the duplicates, each of them has exactly one of the other outcomes."""

    row_count: int
    duplicate_count: int = 0
    created_count: int = 0
    updated_count: int = 0
    unchanged_count: int = 0
    skipped_count: int = 0
    rejected_count: int = 0
    crowded: tuple[int, ...] = ()
    """The numbers of those rejected rows whose record would have too many tags: the caller keeps their cells."""


@dataclass
class Work:
    """One merge's statements and values."""

    statements: Statements
    values: dict[str, Any]

    def run(self, statement: str, **more: Any) -> int:
        """Rows that the statement wrote. Never prepared: a plan made for an empty table would be kept."""
        return driver_connection().execute(statement.encode(), {**self.values, **more}, prepare=False).rowcount

    def rows(self, statement: str, **more: Any) -> list[tuple[Any, ...]]:
        return driver_connection().execute(statement.encode(), {**self.values, **more}, prepare=False).fetchall()

    def count(self, statement: str, **more: Any) -> int:
        """The number that a statement returns in its one row; 0 without a row."""
        found = self.rows(statement, **more)
        return int(found[0][0] or 0) if found else 0


def merge_rows(merge: Merge, now: datetime) -> MergeCounts:
    """Fold, create, compare and update. All of it belongs to the session's transaction."""
    work = Work(statements_for(merge.entity, merge.rules), _values(merge, now))
    work.run(STEADY_PLANS)
    duplicate_count, crowded = _fold(work)
    key_count = work.count(work.statements.count)
    created_count = _create(work, merge)
    known = _known(work, merge, key_count - created_count) if key_count > created_count else MergeCounts(0)
    return replace(
        known,
        row_count=key_count + duplicate_count + len(crowded),
        duplicate_count=duplicate_count,
        created_count=created_count,
        rejected_count=known.rejected_count + len(crowded),
        crowded=(*crowded, *known.crowded),
    )


def _values(merge: Merge, now: datetime) -> dict[str, Any]:
    id_start = f"{int(now.timestamp() * 1000):012x}7"  # the first 13 digits of a UUIDv7: its time and its version
    return {
        **vars(merge.buckets),
        "now": now,
        "id_start": id_start,
        "salt": os.urandom(16).hex(),
        "exists": f"A {merge.entity.singular} with this {_named(merge.entity)} already exists.",
        "missing": f"There is no {merge.entity.singular} with this {_named(merge.entity)}.",
    }


def _named(entity: Entity) -> str:
    label = entity.key.label
    return label if label.isupper() else f"{label[0].lower()}{label[1:]}"


def _fold(work: Work) -> tuple[int, list[int]]:
    """The number of rows that a later one of the same key replaced; those that say too many tags together."""
    duplicate_count = work.run(work.statements.note_replaced)
    if not duplicate_count:
        return 0, []
    crowded = work.rows(work.statements.drop_crowded)
    if crowded:
        duplicate_count -= work.run(work.statements.forget_replaced, keys=[row[1] for row in crowded])
    for statement in work.statements.folds:
        work.run(statement)
    work.run(work.statements.drop_replaced)
    return duplicate_count, [row[0] for row in crowded]


def _create(work: Work, merge: Merge) -> int:
    if not merge.rules.may_create:
        return 0
    return work.count(work.statements.note_new if merge.is_dry_run else work.statements.create)


def _known(work: Work, merge: Merge, known_count: int) -> MergeCounts:
    """What becomes of rows that created nothing."""
    if merge.rules.mode is Mode.SKIP_EXISTING:
        return MergeCounts(known_count, skipped_count=work.count(work.statements.note_skipped))
    if merge.rules.mode is Mode.CREATE_ONLY:
        return MergeCounts(known_count, rejected_count=work.run(work.statements.reject_known))
    rejected_count = work.run(work.statements.reject_missing) if merge.rules.mode is Mode.UPDATE_ONLY else 0
    unchanged_count = work.count(work.statements.note_unchanged) if known_count - rejected_count else 0
    changed_count = known_count - rejected_count - unchanged_count
    updated_count, crowded = _update(work, merge.is_dry_run) if changed_count else (0, ())
    if updated_count + len(crowded) != changed_count:
        raise psycopg.errors.SerializationFailure("Another transaction changed these records after they were compared.")
    return MergeCounts(
        known_count,
        unchanged_count=unchanged_count,
        updated_count=updated_count,
        rejected_count=rejected_count + len(crowded),
        crowded=crowded,
    )


def _update(work: Work, is_dry_run: bool) -> tuple[int, tuple[int, ...]]:
    """Lock the records that change, in the order of keys, keep what they were, and change them.

    Their number, and the rows that were left out because their record would have too many tags.
    """
    if is_dry_run:
        crowded = tuple(row[0] for row in work.rows(work.statements.list_crowded))
        return work.count(work.statements.note_changing), crowded
    locked = work.rows(work.statements.lock)
    fitting = [row for row in locked if row[2] is None]
    pairs = {"places": [row[0] for row in fitting], "record_places": [row[1] for row in fitting]}
    work.run(work.statements.keep_before, **pairs)
    return work.count(work.statements.update, **pairs), tuple(row[2] for row in locked if row[2] is not None)


# Statistics lag behind tables that grow by the second: to the planner, an organisation that is new has
# one record, and reading "all of them" for every staged row looks cheap. So nothing here is left to
# its choice: a record is looked up by its key in a LATERAL query, which OFFSET 0 keeps as it is
# written, and a staged row is found again by its place.
STEADY_PLANS = "SELECT set_config('enable_seqscan', 'off', true)"
