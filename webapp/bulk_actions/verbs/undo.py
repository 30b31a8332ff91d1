"""Undoing a bulk action, record by record.

A record that it changed gets back what it was, in the columns that were changed; one that it created goes into the
trash. Whoever was changed since stays as it is, with the reason: `updated_at` tells, which every change moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from webapp.bulk_actions.models import BeforeImage
from webapp.bulk_actions.verbs.changes import Place, lock_present
from webapp.bulk_actions.verbs.outcomes import GONE, Outcomes
from webapp.extensions import db
from webapp.records.trash import Deletion, delete_records

CHANGED = "It was changed since."


def undo_records(place: Place, source_id: UUID, user_id: UUID | None, now: datetime) -> Outcomes:
    """Undo what `source_id` did to these records."""
    present = set(lock_present(place))
    imaged, columns = _images(place, source_id)
    restored = _restore(place, source_id, sorted(imaged & present), columns, now) if columns else set()
    created = [record_id for record_id in place.ids if record_id in present and record_id not in imaged]
    untouched = _untouched(place, source_id, created)
    deletion = Deletion(now, user_id, place.bulk_action_id)
    deleted = set(delete_records(place.entity, place.organisation_id, untouched, deletion)) if untouched else set()
    done = restored | deleted
    return Outcomes(
        succeeded=[record_id for record_id in place.ids if record_id in done],
        failed={
            record_id: CHANGED if record_id in present else GONE for record_id in place.ids if record_id not in done
        },
    )


def _images(place: Place, source_id: UUID) -> tuple[set[UUID], list[str]]:
    """Which of the records have an image, and of which columns; all of a bulk action's images have the same."""
    mine = (
        BeforeImage.organisation_id == place.organisation_id,
        BeforeImage.bulk_action_id == source_id,
        BeforeImage.record_id.in_(place.ids),
    )
    imaged = set(db.session.scalars(select(BeforeImage.record_id).where(*mine)))
    one: dict[str, Any] | None = db.session.scalar(select(BeforeImage.values).where(*mine).limit(1))
    return imaged, sorted(one or {})


def _restore(place: Place, source_id: UUID, ids: Sequence[UUID], columns: Sequence[str], now: datetime) -> set[UUID]:
    entity = place.entity
    known = [name for name in columns if name in entity.data_columns]
    assignments = ", ".join(f"{name} = was.{name}" for name in known)
    statement = text(
        f"UPDATE {entity.name} c SET {assignments}, updated_at = :now"
        f" FROM (SELECT i.record_id, i.written_at, b.* FROM before_images i"
        f" CROSS JOIN LATERAL jsonb_populate_record(NULL::{entity.name}, i.values) AS b"
        f" WHERE i.organisation_id = :organisation_id AND i.bulk_action_id = :source_id"
        f" AND i.record_id = ANY (:ids)) AS was"
        f" WHERE c.organisation_id = :organisation_id AND c.id = was.record_id AND c.updated_at = was.written_at"
        f" RETURNING c.id"
    )
    values = {"organisation_id": place.organisation_id, "source_id": source_id, "ids": list(ids), "now": now}
    return set(db.session.scalars(statement, values))


def _untouched(place: Place, source_id: UUID, ids: Sequence[UUID]) -> list[UUID]:
    """Those that came with the bulk action and were never changed."""
    model = place.entity.model
    query = select(model.id).where(
        model.organisation_id == place.organisation_id,
        model.id.in_(ids),
        model.bulk_action_id == source_id,
        model.updated_at == model.created_at,
    )
    return list(db.session.scalars(query)) if ids else []
