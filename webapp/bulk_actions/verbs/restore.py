"""Restoring deleted records, and why some cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from webapp.bulk_actions.verbs.changes import Place
from webapp.bulk_actions.verbs.outcomes import Outcomes
from webapp.extensions import db
from webapp.records.entities import Entity
from webapp.records.trash import restore_records

LOST = "It is not in the trash any more."


def taken_words(entity: Entity) -> str:
    """Why a record stays in the trash."""
    return f"Another {entity.singular} has its {entity.key.label} by now."


def restore_deleted(place: Place, deletion_id: UUID | None = None) -> Outcomes:
    """Move records out of the trash, with `deletion_id` what that bulk action deleted; skip those that are back."""
    back = set(restore_records(place.entity, place.organisation_id, place.ids, deletion_id))
    left = [record_id for record_id in place.ids if record_id not in back]
    reasons = _reasons(place, left, deletion_id) if left else {}
    skipped = [record_id for record_id in left if record_id not in reasons]
    return Outcomes([record_id for record_id in place.ids if record_id in back], skipped, reasons)


def _reasons(place: Place, ids: Sequence[UUID], deletion_id: UUID | None) -> dict[UUID, str]:
    """Of those that are not back; whoever is back already has none."""
    entity = place.entity
    of_deletion = " AND d.deletion_id = :deletion_id" if deletion_id else ""
    statement = text(
        f"SELECT wanted.id, d.id IS NOT NULL FROM unnest(CAST(:ids AS uuid[])) AS wanted (id)"
        f" LEFT JOIN {entity.deleted.name} d ON d.organisation_id = :organisation_id AND d.id = wanted.id{of_deletion}"
        f" WHERE NOT EXISTS (SELECT FROM {entity.name} c"
        f" WHERE c.organisation_id = :organisation_id AND c.id = wanted.id)"
    )
    values = {"ids": list(ids), "organisation_id": place.organisation_id}
    found = db.session.execute(statement, values | ({"deletion_id": deletion_id} if deletion_id else {}))
    return {record_id: taken_words(entity) if is_in_trash else LOST for record_id, is_in_trash in found}
