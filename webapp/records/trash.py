"""Deleting moves records into the trash, and restoring moves them back. Each is one statement.

A record that is not in its table any more is in no index and no list, so nothing else needs to know of the trash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text

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
    statement = text(f"WITH {moving(entity, 'r.id = ANY (:ids)')} SELECT id FROM moved")
    values = {"organisation_id": organisation_id, "ids": list(ids), **said(deletion)}
    return list(db.session.scalars(statement, values))


def delete_all(entity: Entity, organisation_id: UUID, created_before: datetime, deletion: Deletion) -> int:
    """Move every record of the organisation that was created before the moment into the trash; their number."""
    statement = text(f"WITH {moving(entity, 'r.created_at < :created_before')} SELECT count(*) FROM moved")
    values = {"organisation_id": organisation_id, "created_before": created_before, **said(deletion)}
    return int(db.session.execute(statement, values).scalar_one())


def moving(entity: Entity, condition: str) -> str:
    """The part of a statement, with `said`, that moves records `r` into the trash: `moved` has their ids.

    They are locked in the order of keys, as for every write of several records.
    """
    locked = (
        f"locked AS (SELECT r.id FROM {entity.name} r"
        f" WHERE r.organisation_id = :organisation_id AND {condition} ORDER BY r.{entity.key_column} FOR UPDATE)"
    )
    return f"{locked}, {_moved(entity, 'locked WHERE r.id = locked.id')}"


def moving_still(entity: Entity, chosen: str, condition: str = "true") -> str:
    """As `moving` by `chosen`, in two thirds of the time: records are found by their places and not locked before.

    One that another transaction writes at this moment may be left; what is, can be moved by `moving` afterwards. The
    condition is looked at again once a record is ours. `chosen` is not: many ids would be compared one by one.
    """
    placed = (
        f"placed AS MATERIALIZED (SELECT r.ctid AS place FROM {entity.name} r"
        f" WHERE r.organisation_id = :organisation_id AND {chosen} AND {condition} ORDER BY r.{entity.key_column})"
    )
    return f"{placed}, {_moved(entity, f'placed WHERE r.ctid = placed.place AND {condition}')}"


def _moved(entity: Entity, those: str) -> str:
    """Into the trash they go in the order of ids, which that of its indexes is, too."""
    columns = ", ".join(entity.data_columns)
    return (
        f"gone AS (DELETE FROM {entity.name} r USING {those} AND r.organisation_id = :organisation_id RETURNING r.*),"
        f" moved AS (INSERT INTO {entity.deleted.name} ({columns}, deletion_id, deleted_by, deleted_at)"
        f" SELECT {columns}, :deletion_id, :deleted_by, :deleted_at FROM gone ORDER BY id RETURNING id)"
    )


def said(deletion: Deletion) -> dict[str, object]:
    """The values that `moving` needs."""
    return {"deletion_id": deletion.bulk_action_id, "deleted_by": deletion.by, "deleted_at": deletion.at}


def restore_records(entity: Entity, organisation_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Move these records back, but those whose key another record has by now; the ids of those that came back."""
    statement = text(f"WITH {returning(entity, 'd.id = ANY (:ids)')} SELECT id FROM back")
    return list(db.session.scalars(statement, {"organisation_id": organisation_id, "ids": list(ids)}))


def returning(entity: Entity, condition: str) -> str:
    """The part of a statement that moves records `d` out of the trash, unless their key is taken.

    `back` has the ids of those that came back. They leave the trash first, so that of two who restore a record at
    once only one finds it; those that cannot come back are put there again.
    """
    columns = ", ".join(entity.data_columns)
    kept = f"{columns}, deletion_id, deleted_by, deleted_at"
    return (
        f"taken AS (DELETE FROM {entity.deleted.name} d"
        f" WHERE d.organisation_id = :organisation_id AND {condition} RETURNING d.*),"
        f" back AS (INSERT INTO {entity.name} ({columns}) SELECT {columns} FROM taken"
        f" ORDER BY {entity.key_column} ON CONFLICT DO NOTHING RETURNING id),"
        f" kept AS (INSERT INTO {entity.deleted.name} ({kept}) SELECT {kept} FROM taken"
        f" WHERE id NOT IN (SELECT id FROM back))"
    )
