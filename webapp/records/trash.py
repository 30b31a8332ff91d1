"""Deleting moves records into the trash, and restoring moves them back. Each is one statement.

A record that is not in its table any more is in no index and no list, so nothing else needs to know of the trash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, TextClause, select, text, tuple_

from webapp.extensions import db
from webapp.lib.pagination import BadCursorError, decode_cursor, encode_cursor
from webapp.records.entities import Entity

KEPT_FOR = timedelta(days=30)
PAGE_SIZE = 50
HIGHEST = "\U0010ffff"


@dataclass(frozen=True)
class Deletion:
    """Who deletes, when, and with which bulk action."""

    at: datetime
    by: UUID | None = None
    bulk_action_id: UUID | None = None


def delete_records(entity: Entity, organisation_id: UUID, ids: Sequence[UUID], deletion: Deletion) -> list[UUID]:
    """Move these records into the trash; the ids of those that were still there."""
    return _move(entity, "r.id = ANY (:ids)", {"organisation_id": organisation_id, "ids": list(ids)}, deletion)


def delete_all(entity: Entity, organisation_id: UUID, deletion: Deletion) -> int:
    """Move every record of the organisation into the trash; their number."""
    statement = _deletion_of(entity, "true", "SELECT count(*) FROM moved")
    return int(db.session.execute(statement, {"organisation_id": organisation_id, **_said(deletion)}).scalar_one())


def _move(entity: Entity, condition: str, values: dict[str, object], deletion: Deletion) -> list[UUID]:
    statement = _deletion_of(entity, condition, "SELECT id FROM moved")
    return list(db.session.scalars(statement, {**values, **_said(deletion)}))


def _deletion_of(entity: Entity, condition: str, answer: str) -> TextClause:
    """Locked in the order of keys, as every write of several records is."""
    columns = ", ".join(entity.data_columns)
    return text(
        f"WITH locked AS (SELECT r.id FROM {entity.name} r"
        f" WHERE r.organisation_id = :organisation_id AND {condition} ORDER BY r.{entity.key_column} FOR UPDATE),"
        f" gone AS (DELETE FROM {entity.name} r USING locked"
        f" WHERE r.organisation_id = :organisation_id AND r.id = locked.id RETURNING r.*),"
        f" moved AS (INSERT INTO {entity.deleted.name} ({columns}, deletion_id, deleted_by, deleted_at)"
        f" SELECT {columns}, :deletion_id, :deleted_by, :deleted_at FROM gone"
        f" RETURNING id) {answer}"
    )


def _said(deletion: Deletion) -> dict[str, object]:
    return {"deletion_id": deletion.bulk_action_id, "deleted_by": deletion.by, "deleted_at": deletion.at}


def restore_records(
    entity: Entity, organisation_id: UUID, ids: Sequence[UUID], deletion_id: UUID | None = None
) -> list[UUID]:
    """Move these records back, but those whose key another record has by now; the ids of those that came back.

    With `deletion_id` only those that this bulk action deleted.
    """
    columns = ", ".join(entity.data_columns)
    of_deletion = " AND deletion_id = :deletion_id" if deletion_id else ""
    statement = text(
        f"WITH back AS (INSERT INTO {entity.name} ({columns}) SELECT {columns} FROM {entity.deleted.name}"
        f" WHERE organisation_id = :organisation_id AND id = ANY (:ids){of_deletion} ORDER BY {entity.key_column}"
        f" ON CONFLICT DO NOTHING RETURNING id),"
        f" emptied AS (DELETE FROM {entity.deleted.name} d USING back"
        f" WHERE d.organisation_id = :organisation_id AND d.id = back.id)"
        f" SELECT id FROM back"
    )
    values = {"organisation_id": organisation_id, "ids": list(ids)}
    return list(db.session.scalars(statement, values | ({"deletion_id": deletion_id} if deletion_id else {})))


@dataclass(frozen=True)
class DeletedPage:
    """Some rows of the trash, and the cursor of those that follow."""

    rows: Sequence[Row[Any]]
    next_cursor: str | None


def list_deleted(
    entity: Entity, organisation_id: UUID, *, q: str = "", cursor: str | None = None, limit: int = PAGE_SIZE
) -> DeletedPage:
    """What is in the trash, the latest first; `q` is the beginning of a key. Raises BadCursorError."""
    deleted = entity.deleted.c
    key = deleted[entity.key_column]
    query = select(entity.deleted).where(deleted.organisation_id == organisation_id)
    if q:
        folded = entity.key.fold(q)
        query = query.where(key >= folded, key < folded + HIGHEST)
    if cursor:
        query = query.where(tuple_(deleted.deleted_at, deleted.id) < tuple_(*_place(cursor)))
    rows = db.session.execute(query.order_by(deleted.deleted_at.desc(), deleted.id.desc()).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return DeletedPage(rows[:limit], encode_cursor(last.deleted_at.isoformat(), last.id) if last else None)


def _place(cursor: str) -> tuple[datetime, UUID]:
    text_of_moment, record_id = decode_cursor(cursor)
    try:
        return datetime.fromisoformat(text_of_moment), record_id
    except ValueError as error:
        raise BadCursorError("This page link is damaged. Start again from the first page.") from error
