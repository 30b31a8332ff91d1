"""Deleting moves records into the trash, and restoring moves them back. Each is one statement.

A record that is not in its table any more is in no index and no list, so nothing else needs to know of the trash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import TextClause, text

from webapp.extensions import db
from webapp.records.entities import Entity

KEPT_FOR = timedelta(days=30)


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


def restore_records(entity: Entity, organisation_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Move these records back, but those whose key another record has by now; the ids of those that came back."""
    columns = ", ".join(entity.data_columns)
    statement = text(
        f"WITH back AS (INSERT INTO {entity.name} ({columns}) SELECT {columns} FROM {entity.deleted.name}"
        f" WHERE organisation_id = :organisation_id AND id = ANY (:ids) ORDER BY {entity.key_column}"
        f" ON CONFLICT DO NOTHING RETURNING id),"
        f" emptied AS (DELETE FROM {entity.deleted.name} d USING back"
        f" WHERE d.organisation_id = :organisation_id AND d.id = back.id)"
        f" SELECT id FROM back"
    )
    return list(db.session.scalars(statement, {"organisation_id": organisation_id, "ids": list(ids)}))


def empty_trash(entity: Entity, organisation_id: UUID, deleted_before: datetime, limit: int) -> int:
    """Remove for good what was deleted earlier, some at a time; their number."""
    deleted = entity.deleted.name
    statement = text(
        f"DELETE FROM {deleted} WHERE organisation_id = :organisation_id AND id IN (SELECT id FROM {deleted}"
        f" WHERE organisation_id = :organisation_id AND deleted_at < :before ORDER BY deleted_at LIMIT :limit)"
        f" RETURNING id"
    )
    values = {"organisation_id": organisation_id, "before": deleted_before, "limit": limit}
    return len(db.session.scalars(statement, values).all())
